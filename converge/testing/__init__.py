"""Aids for testing agents, kinds and stores; the project's own tests use nothing else."""

from converge.testing.clock import VirtualClock
from converge.testing.confluence import assert_confluent
from converge.testing.generating import facts_of
from converge.testing.joins import assert_join_laws, check_join
from converge.testing.models import RecordedModel, Reply, ScriptedModel, forbid_model_requests
from converge.testing.purity import assert_pure
from converge.testing.resuming import assert_no_repeated_calls, assert_resumable_everywhere
from converge.testing.stores import STORE_CHECKS, MakeStore, StoredText, check_store

__all__ = [
    "STORE_CHECKS",
    "MakeStore",
    "RecordedModel",
    "Reply",
    "ScriptedModel",
    "StoredText",
    "VirtualClock",
    "assert_confluent",
    "assert_join_laws",
    "assert_no_repeated_calls",
    "assert_pure",
    "assert_resumable_everywhere",
    "check_join",
    "check_store",
    "facts_of",
    "forbid_model_requests",
]
