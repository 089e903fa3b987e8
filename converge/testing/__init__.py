"""Aids for testing agents, kinds and stores; the project's own tests use nothing else."""

from converge.testing.clock import VirtualClock
from converge.testing.joins import check_join
from converge.testing.stores import STORE_CHECKS, MakeStore, StoredText, check_store

__all__ = ["STORE_CHECKS", "MakeStore", "StoredText", "VirtualClock", "check_join", "check_store"]
