"""Stored jobs as such, without their agents: copies, files, audits, what may be thrown away."""
