"""Peers, each in its fastest documented way; they run in an environment of their own and import nothing of ours."""
