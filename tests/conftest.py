"""Hypothesis without a deadline: a test must not depend on how busy the machine is."""

from hypothesis import settings

settings.register_profile("converge", deadline=None)
settings.load_profile("converge")
