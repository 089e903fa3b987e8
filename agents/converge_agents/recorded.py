"""Real answers in a file: asked once, and given back from then on, so that a test of real prompts costs nothing."""

__all__ = ["RecordedModel"]

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from converge.capture import digest_of_arguments
from converge_agents.answer import Answer
from converge_agents.asking import Meter, OnText
from converge_agents.conversation import Asks
from converge_agents.errors import NotRecorded
from converge_agents.price import Price


class RecordedModel:
    """A model whose answers are kept in a file of JSON lines, found by what was asked.

    `model` is asked for what is not there, and its answer is added; without one, that raises NotRecorded. The file may
    be kept with the tests: it holds prompts and answers, and no key. `asked` counts what the model was asked.
    """

    def __init__(self, path: str | os.PathLike[str], model: Asks | None = None, name: str = "recorded") -> None:
        self._path, self._model = Path(path), model
        self.name = name if model is None else model.name
        self.price: Price | None = None if model is None else model.price
        self.asked = 0
        self._answers = _read(self._path)

    def __repr__(self) -> str:
        return f"RecordedModel({str(self._path)!r}, {self._model!r})"

    async def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        on_text: OnText | None = None,
        deadline: float | None = None,
        meter: Meter | None = None,
    ) -> Answer:
        """Return the answer of the file, or of the model. Raises NotRecorded, and what the model raises."""
        question = digest_of_arguments((messages, schema, tools))
        if question in self._answers:
            return self._answers[question]
        if self._model is None:
            raise NotRecorded(self.name, str(self._path), json.dumps(messages, ensure_ascii=False))
        self.asked += 1
        answer = await self._model.ask(
            messages, schema=schema, tools=tools, on_text=on_text, deadline=deadline, meter=meter
        )
        self._keep(question, messages, answer)
        return answer

    def _keep(self, question: str, messages: Sequence[Mapping[str, Any]], answer: Answer) -> None:
        self._answers[question] = answer
        row = {"question": question, "messages": list(messages), "answer": dataclasses.asdict(answer)}
        with self._path.open("a", encoding="utf-8") as file:  # one line is one write: another process may add one
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _read(path: Path) -> dict[str, Answer]:
    if not path.exists():
        return {}
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {row["question"]: Answer.of(row["answer"]) for row in rows}
