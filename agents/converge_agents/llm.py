"""An agent that asks an LLM: it reads facts, its model suggests others, and code decides what becomes of them.

What the model says is data: captured raw, held to a schema, then a fact of a kind the agent declares, or a proposal
where it has a gate. It names no agent to run, ends no job and reaches no side effect.
"""

__all__ = ["LLMAgent"]

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import anyio

from converge import Agent, Allowance, Assertion, Fact, Suggestion, View
from converge.agent import Kinds, agent, gate_steps, kind_read, kinds_listed
from converge.errors import AgentInvalid, BudgetSpent
from converge.gate import Gate, MinConfidence
from converge_agents.answering import answering
from converge_agents.answers import Item
from converge_agents.conversation import Asks, Conversation
from converge_agents.lint import check
from converge_agents.prompt import Prompt, Prompted, Prompting
from converge_agents.tool import Tool, tools_of

if TYPE_CHECKING:
    from pydantic_ai import Agent as PydanticAgent
    from pydantic_ai.models import Model as PydanticModel

Stated = Fact | Assertion | Suggestion
Conclude = Callable[..., Stated | Iterable[Stated] | None]


def LLMAgent(  # noqa: N802  # it is used like a class, and makes an agent like any other
    name: str,
    model: "Asks | Callable[..., Awaitable[Any]] | PydanticAgent[Any, Any] | PydanticModel",
    prompt: Prompt,
    reads: Kinds,
    writes: Kinds,
    *,
    each: type[Fact] | None = None,
    system: str | None = None,
    answers: Kinds | None = None,
    conclude: Conclude | None = None,
    evidence: bool = False,
    confidence: bool | None = None,
    gate: Gate = (),
    tools: Sequence[Callable[..., Any] | Tool] = (),
    tool_calls: int = 8,
    repairs: int = 1,
    deadline: float | None = None,
    stream: bool = False,
    when: Literal["new", "settled"] = "new",
    replaces: bool | None = None,
    required: bool = True,
    accepts: Callable[[View], bool] | None = None,
    budget: Allowance | None = None,
    version: str = "1",
) -> Agent:
    """Return an agent that asks a model. Raises AgentInvalid, or SchemaInvalid for kinds no server can be held to.

    model: a Model, an agent or a model of pydantic-ai, or an awaitable function of messages (see `answering`).
    prompt: a template with {facts}, {intent}, {item} and {item.field}, or a function of the view, or of item and view.
    each: the kind to be asked about one by one, all at once; otherwise one question about everything it reads, whose
    conclusions replace the earlier ones where the agent lies on no circle. system: how it is to go about it.
    evidence: the model cites the facts it was shown; otherwise its facts rest on all that the prompt looked at.
    confidence: it says how sure it is; by default where the gate asks for that. answers: other kinds for the model to
    answer with; `conclude(answer, view)`, or `(answer, item, view)` with each, then makes of one what is stated.
    tools: functions it may call, or those of `mcp_tools`; `tool_calls` in all for one question. repairs: turns to mend
    an answer that cannot be read. deadline: seconds for one answer. stream: text is passed on to who follows the job.
    The rest is as for @agent.
    """
    steps, read = gate_steps(name, gate), kinds_listed(reads)
    if (answers is None) is not (conclude is None):
        raise AgentInvalid(name, "answers= and conclude= go together: the one is what the other makes facts of")
    sure = any(isinstance(step, MinConfidence) for step in steps) if confidence is None else confidence
    form = check(kinds_listed(writes if answers is None else answers), evidence=evidence, confidence=sure)
    if each is not None and each not in map(kind_read, read):
        raise AgentInvalid(name, f"each={each.__name__} is not among the kinds in its reads=")
    prompting = Prompting(name, prompt, [*map(kind_read, read)], each, system, cites=evidence)
    asked = answering(name, model)
    conversation = Conversation(name, asked, form, tools_of(name, tools), tool_calls, repairs, deadline, stream)
    return agent(
        name=name,
        reads=read,
        writes=writes,
        when=when,
        replaces=replaces if each is None or replaces is not None else False,
        required=required,
        accepts=accepts,
        gate=steps,
        budget=budget,
        version=version,
    )(_Asking(conversation, prompting, each, _concluding(name, conclude, each), evidence=evidence))


class _Asking:
    """What an LLM agent does with a view: all its questions at once, and what follows in the order of the items."""

    def __init__(
        self,
        conversation: Conversation,
        prompting: Prompting,
        each: type[Fact] | None,
        conclude: Conclude | None,
        *,
        evidence: bool,
    ) -> None:
        self._conversation, self._prompting, self._each = conversation, prompting, each
        self._conclude, self._evidence = conclude, evidence

    async def __call__(self, view: View) -> list[Stated]:
        if self._each is None:
            asked = self._prompting.for_view(view)
            return self._stated(view, asked, await self._conversation.held(view, asked))
        several = [self._prompting.for_item(view, item) for item in view.new(self._each)]
        answered = await self._all(view, several)
        return [
            fact for asked, items in zip(several, answered, strict=True) for fact in self._stated(view, asked, items)
        ]

    async def _all(self, view: View, several: list[Prompted]) -> list[list[Item]]:
        """Hold all conversations to their end: what one costs is not wasted because another fails."""
        if len(several) == 1:
            return [await self._conversation.held(view, several[0])]
        results: dict[int, list[Item]] = {}
        errors: dict[int, Exception] = {}

        async def hold(place: int, asked: Prompted) -> None:
            try:
                results[place] = await self._conversation.held(view, asked)
            except Exception as error:
                errors[place] = error

        async with anyio.create_task_group() as tasks:
            for place, asked in enumerate(several):
                tasks.start_soon(hold, place, asked)
        # A budget that is spent ends the job, whatever else went wrong; else the first item's failure counts.
        for _, error in sorted(errors.items(), key=lambda item: (not isinstance(item[1], BudgetSpent), item[0])):
            raise error
        return [results[place] for place in range(len(several))]

    def _stated(self, view: View, asked: Prompted, items: list[Item]) -> list[Stated]:
        return [stated for item in items for stated in self._of_item(view, asked, item)]

    def _of_item(self, view: View, asked: Prompted, item: Item) -> list[Stated]:
        around = view if asked.item is None else view.fresh()
        made = self._concluded(item.fact, asked.item, around)
        evidence = self._rests_on(asked, item)
        if evidence and self._conclude is not None:
            evidence = tuple(dict.fromkeys((*evidence, *around.shown())))
        return [_with(one, item.confidence, evidence) for one in made]

    def _concluded(self, answer: Fact, item: Fact | None, view: View) -> list[Stated]:
        if self._conclude is None:
            return [answer]
        made = self._conclude(answer, view) if item is None else self._conclude(answer, item, view)
        if made is None:
            return []
        return [made] if isinstance(made, (Fact, Assertion, Suggestion)) else list(made)

    def _rests_on(self, asked: Prompted, item: Item) -> tuple[Fact, ...]:
        """Return the evidence of a fact; none for all that the view was asked."""
        about = () if asked.item is None else (asked.item,)
        if self._evidence and item.evidence:
            return tuple(dict.fromkeys((*about, *item.evidence)))
        return tuple(asked.shown.values()) if about else ()


def _with(stated: Stated, confidence: float | None, evidence: tuple[Fact, ...]) -> Stated:
    """Return what is stated with the evidence and the confidence that it does not name itself."""
    cited = () if isinstance(stated, Fact) else stated.evidence
    if evidence and not cited:
        stated = stated.because(*evidence)  # type: ignore[union-attr]  # an Assertion names its evidence
    if confidence is None or isinstance(stated, Suggestion):
        return stated
    fact, cited = (stated, ()) if isinstance(stated, Fact) else stated
    return Suggestion(fact, confidence, cited)


def _concluding(name: str, conclude: Conclude | None, each: type[Fact] | None) -> Conclude | None:
    if conclude is not None:
        try:
            inspect.signature(conclude).bind(*range(2 if each is None else 3))
        except TypeError:
            takes = "(answer, view)" if each is None else "(answer, item, view)"
            raise AgentInvalid(name, f"conclude must take {takes}") from None
    return conclude
