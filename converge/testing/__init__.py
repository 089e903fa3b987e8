"""Aids for testing agents, kinds and stores; the project's own tests use nothing else."""

from converge.testing.clock import VirtualClock
from converge.testing.joins import check_join
from converge.testing.models import RecordedModel, Reply, ScriptedModel, forbid_model_requests
from converge.testing.stores import STORE_CHECKS, MakeStore, StoredText, check_store

__all__ = [
    "STORE_CHECKS",
    "MakeStore",
    "RecordedModel",
    "Reply",
    "ScriptedModel",
    "StoredText",
    "VirtualClock",
    "check_join",
    "check_store",
    "forbid_model_requests",
]
