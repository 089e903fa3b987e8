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
    "converge.agents": ["Answer", "LLMAgent", "Model", "Price", "mcp_tools"],
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
    "converge.inspector": ["inspector"],
    "converge.stores": ["MemoryStore", "PostgresStore", "SQLiteStore"],
    "converge.telemetry": ["Telemetry"],
    "converge.temporal": [
        "AskedLine",
        "ConvergeWorkflow",
        "DecisionInput",
        "FactLine",
        "IntentLine",
        "JobInput",
        "JobOutcome",
        "connect",
        "converge_activity",
        "converge_decision",
        "converge_giving",
        "converge_sandbox",
        "converge_worker",
    ],
    "converge.testing": [
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
    ],
}


@pytest.mark.parametrize("face", FACES)
def test_a_face_shows_exactly_the_written_names(face):
    """Each name is listed, exists, and is listed once."""
    module = importlib.import_module(face)
    assert sorted(module.__all__) == sorted(FACES[face])
    assert all(hasattr(module, name) for name in module.__all__)
