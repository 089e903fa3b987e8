"""The public names are a written list: nothing becomes public by accident, and nothing vanishes."""

import importlib

import pytest

FACES = {
    "converge": [
        "Agent",
        "Allowance",
        "Assertion",
        "Budget",
        "Certificate",
        "Conflict",
        "Decision",
        "Engine",
        "Fact",
        "Failure",
        "Invalidation",
        "Invariant",
        "Job",
        "Kind",
        "Live",
        "Opinion",
        "Outcome",
        "Plan",
        "Proof",
        "Proposal",
        "Report",
        "Request",
        "Retry",
        "Revision",
        "RootIntent",
        "SameAs",
        "Spend",
        "Stop",
        "StopReason",
        "Suggestion",
        "Unread",
        "Verdict",
        "View",
        "Violation",
        "agent",
        "corroborated_by",
        "human",
        "id_of",
        "invariant",
        "judged_by",
        "kind_of",
        "min_confidence",
        "run",
        "same_as",
    ],
    "converge.agents": ["Answer", "LLMAgent", "Model", "Price"],
    "converge.explain": [
        "Absence",
        "Call",
        "Cost",
        "Course",
        "Explained",
        "Explanation",
        "FactCost",
        "JobCost",
        "Parting",
    ],
    "converge.frames": ["from_arrow", "from_pandas", "from_polars", "to_arrow", "to_pandas", "to_polars"],
    "converge.inspector": ["event_stream", "inspector"],
    "converge.stores": ["MemoryStore", "SQLiteStore"],
    "converge.testing": [
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
    ],
}


@pytest.mark.parametrize("face", FACES)
def test_a_face_shows_exactly_the_written_names(face):
    """Each name is listed, exists, and is listed once."""
    module = importlib.import_module(face)
    assert sorted(module.__all__) == sorted(FACES[face])
    assert all(hasattr(module, name) for name in module.__all__)
