"""The answers that ship with the team, so that it runs without a model, a key or a network."""

__all__ = ["ANSWERS", "NOTHING", "scripted"]

from pathlib import Path

from converge_agents.scripted import ScriptedModel
from converge_agents.teams import models

ANSWERS = Path(__file__).with_name("answers.jsonl")
NOTHING = {"items": list[object]()}  # the answer to a question that the file does not have


def scripted() -> ScriptedModel:
    """Return a model that answers as the file says, and has nothing to say to any other question."""
    return models.scripted(ANSWERS, NOTHING)
