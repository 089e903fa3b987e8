"""The public names are a written list: nothing becomes public by accident, and nothing vanishes."""

import importlib

import pytest

FACES = {
    "converge": [
        "Agent",
        "Assertion",
        "Budget",
        "Certificate",
        "Conflict",
        "Engine",
        "Fact",
        "Failure",
        "Invalidation",
        "Invariant",
        "Job",
        "Kind",
        "Live",
        "Outcome",
        "Plan",
        "Proof",
        "Report",
        "Retry",
        "Revision",
        "RootIntent",
        "Spend",
        "Stop",
        "StopReason",
        "Unread",
        "View",
        "Violation",
        "agent",
        "id_of",
        "invariant",
        "kind_of",
        "run",
    ],
    "converge.agents": [],
    "converge.stores": ["MemoryStore", "SQLiteStore"],
    "converge.testing": ["STORE_CHECKS", "MakeStore", "StoredText", "VirtualClock", "check_join", "check_store"],
}


@pytest.mark.parametrize("face", FACES)
def test_a_face_shows_exactly_the_written_names(face):
    """Each name is listed, exists, and is listed once."""
    module = importlib.import_module(face)
    assert sorted(module.__all__) == sorted(FACES[face])
    assert all(hasattr(module, name) for name in module.__all__)
