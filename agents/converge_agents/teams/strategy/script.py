"""The answers that ship with the team, so that it runs without a model, a key or a network.

A line of `answers.jsonl` is {"asked": a text, "said": JSON}: a question in which the text occurs is answered so. To
any other question there is nothing to say.
"""

__all__ = ["ANSWERS", "scripted"]

import json
from pathlib import Path

from converge_agents.price import Price
from converge_agents.scripted import ScriptedModel

ANSWERS = Path(__file__).with_name("answers.jsonl")
_NOTHING: tuple[str, dict[str, list[str]]] = ("", {"items": []})  # the empty text occurs in every question


def scripted() -> ScriptedModel:
    """Return a model that answers as the file says, through the real client, and costs nothing."""
    lines = [json.loads(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()]
    return ScriptedModel([*((line["asked"], line["said"]) for line in lines), _NOTHING], price=Price(0, 0))
