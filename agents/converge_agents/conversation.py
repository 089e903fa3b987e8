"""One question to a model until there is an answer that can be used: tools it calls, and turns to mend an answer.

Every answer and every tool's result is captured before anything is made of it, so a conversation that is begun again
goes through the same turns without a request.
"""

__all__ = ["Asks", "Conversation"]

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from converge import Fact, View
from converge_agents.answer import Answer, ToolCall, judged
from converge_agents.answers import AnswerUnfit, Item, object_in, read
from converge_agents.asking import Meter, OnText
from converge_agents.errors import ToolsExceeded
from converge_agents.price import Price
from converge_agents.prompt import Prompted
from converge_agents.schema import AnswerForm
from converge_agents.tool import Tool

_TOLD = (
    "model",
    "rung",
    "finish_reason",
    "request_id",
    "input_tokens",
    "output_tokens",
    "seconds",
    "prompt_digest",
)


class Asks(Protocol):
    """What an agent asks: a Model, or whatever answers like one."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def price(self) -> Price | None:
        """What its tokens cost, if that is known."""

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
        """Return what the model answered."""


@dataclasses.dataclass(frozen=True)
class Conversation:
    """How an agent talks to its model. tool_calls, repairs: how many at most, in one conversation."""

    agent: str
    model: Asks
    form: AnswerForm
    tools: Mapping[str, Tool]
    tool_calls: int
    repairs: int
    deadline: float | None
    streams: bool

    async def held(self, view: View, asked: Prompted) -> list[Item]:
        """Return what the model states in the end.

        Raises a ModelError, ToolsExceeded, or AnswerUnfit where its last answer cannot be read either.
        """
        messages, repairs, calls = list(asked.messages), self.repairs, self.tool_calls
        while True:
            # The last answer that cannot be read was a try, like one that is none: a resume asks for another.
            said = await self._said(view, asked, messages, is_last=not repairs)
            if said.answer.tool_calls:
                calls -= len(said.answer.tool_calls)
                if calls < 0:
                    raise ToolsExceeded(self.agent, self.tool_calls)
                messages += [said.answer.message, *[await self._called(view, call) for call in said.answer.tool_calls]]
            elif said.unfit is None:
                return said.items
            else:
                repairs -= 1
                messages += [said.answer.message, {"role": "user", "content": said.unfit.repair}]

    async def _said(self, view: View, asked: Prompted, messages: list[dict[str, Any]], *, is_last: bool) -> "_Said":
        """Ask, or find what was answered. The item is part of the question: equal prompts are asked one by one."""

        def parse(captured: Mapping[str, Any]) -> _Said:
            said = self._read(judged(captured["answer"]), asked.shown)
            if is_last and said.unfit is not None:
                raise said.unfit
            return said

        ask, describe = _Ask(self, view), self._described
        found: _Said = await view.capture("ask", ask, messages, asked.item, parse=parse, describe=describe)
        return found

    def _read(self, answer: Answer, shown: Mapping[str, Fact]) -> "_Said":
        if answer.tool_calls:
            return _Said(answer)
        try:
            text = object_in(answer.text) if answer.rung == "text" else answer.text
            return _Said(answer, read(text, self.form, shown))
        except AnswerUnfit as unfit:
            return _Said(answer, unfit=unfit)

    async def _called(self, view: View, call: ToolCall) -> dict[str, Any]:
        tool = self.tools.get(call.name)
        if tool is None:
            said = f"error: there is no tool {call.name!r}: there are {', '.join(self.tools) or 'none'}"
        else:
            said = await tool.called(view, call)
        return {"role": "tool", "tool_call_id": call.id, "content": said}

    def _described(self, captured: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what the trace says of an answer; what it said itself stands in the capture."""
        answer = captured["answer"]
        said = {name: answer[name] for name in _TOLD if answer.get(name) not in (None, "")}
        price, tokens = self.model.price, (answer["input_tokens"], answer["output_tokens"])
        if price is not None and None not in tokens:
            said["money"] = price.of(*tokens)
        return {**said, "requests": answer["attempts"]}


@dataclasses.dataclass(frozen=True)
class _Ask:
    """One call of the model, as it is captured: what was asked, and all that came back."""

    how: Conversation
    view: View

    @property
    def model(self) -> Asks:
        """Whom it asks."""
        return self.how.model

    async def __call__(self, messages: list[dict[str, Any]], item: Fact | None) -> dict[str, Any]:
        how, view = self.how, self.view
        answer = await how.model.ask(
            messages,
            schema=how.form.schema,
            tools=[tool.schema for tool in how.tools.values() if not tool.writes] or None,
            on_text=view.hear if how.streams else None,
            deadline=how.deadline,
            meter=view.reserve,
        )
        return {"messages": messages, "answer": answer}


@dataclasses.dataclass(frozen=True)
class _Said:
    """An answer that came whole: what it states, or why it cannot be read."""

    answer: Answer
    items: list[Item] = dataclasses.field(default_factory=list)
    unfit: AnswerUnfit | None = None
