"""The model that a team asks: the answers that ship beside it, or a real model by its name."""

__all__ = ["model_of", "scripted"]

import json
from pathlib import Path
from typing import Any

from converge_agents.model import Model
from converge_agents.price import Price
from converge_agents.scripted import ScriptedModel


def scripted(answers: Path, otherwise: Any = None) -> ScriptedModel:
    """Return a model that answers from a file, through the real client, and costs nothing.

    A line is {"asked": a text, "said": JSON}: a question in which the text occurs is answered so; the first one counts.
    To any other question it says `otherwise`, where that is given.
    """
    lines = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    script = [(line["asked"], line["said"]) for line in lines]
    if otherwise is not None:
        script.append(("", otherwise))  # the empty text occurs in every question
    return ScriptedModel(script, price=Price(0, 0))


def model_of(answers: Path, name: str | None = None, base_url: str | None = None, otherwise: Any = None) -> Model:
    """Return the real model of this name, at this address if one is given; without a name, the scripted one."""
    return Model(name, base_url=base_url) if name else scripted(answers, otherwise)
