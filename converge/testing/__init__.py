"""Aids for testing agents and stores; the project's own tests use nothing else."""

from converge.testing.clock import VirtualClock
from converge.testing.stores import STORE_CHECKS, MakeStore, check_store

__all__ = ["STORE_CHECKS", "MakeStore", "VirtualClock", "check_store"]
