"""The answers that ship with the team, so that it runs without a model, a key or a network."""

__all__ = ["ANSWERS", "scripted"]

from pathlib import Path

from converge_agents.scripted import ScriptedModel
from converge_agents.teams import models

ANSWERS = Path(__file__).with_name("answers.jsonl")


def scripted() -> ScriptedModel:
    """Return a model that answers as the file says, and has nothing to say to any other question."""
    return models.scripted(ANSWERS, otherwise={"items": []})
