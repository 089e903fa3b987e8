"""The calls behind a fact: what a model was asked and answered, or whatever else was captured, and what it came to.

A call is found by what was captured of it and never by when it was made. Where an activation asked about several facts
one by one, a call belongs to what was concluded from its own: the question's digest says which fact it was about.
"""

__all__ = ["Call", "Calls"]

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from converge.capture import SAID, Captures, Question, asked_about, digest_of_arguments
from converge.context import Context
from converge.effect import Source
from converge.fact import id_of
from converge.support import Support
from converge.trace import ActivationFailed, Captured, Event


class Call(NamedTuple):
    """One captured call of an agent that was reading `round`.

    answer: what was captured, as JSON data. note: what its agent says of it; of a model's answer, its model, tokens and
    money. refused: it was asked again, since this answer could not be used. exact: whether it is known to be what the
    fact was concluded from; else it is one of several that the same activation made.
    """

    question: Question
    round: int
    answer: Any
    note: Mapping[str, Any]
    refused: bool = False
    exact: bool = True

    @property
    def agent(self) -> str:
        """The agent that made it."""
        return self.question.agent

    @property
    def prompt(self) -> list[Mapping[str, Any]]:
        """The messages that a model was asked with; none of another call."""
        return list(self.answer["messages"]) if self._is_a_model else []

    @property
    def text(self) -> str:
        """What a model answered, as it came; of another call, nothing."""
        return str(self.answer["answer"].get("text") or "") if self._is_a_model else ""

    @property
    def tools(self) -> list[Mapping[str, Any]]:
        """The tools that a model wanted called in its answer."""
        return list(self.answer["answer"].get("tool_calls") or ()) if self._is_a_model else []

    @property
    def model(self) -> str | None:
        """The model, as its server names it."""
        name = self.note.get("model")
        return None if name is None else str(name)

    @property
    def requests(self) -> int:
        """How many requests it took."""
        return int(self.note.get("requests", 1 if self._is_a_model else 0))

    @property
    def tokens(self) -> int:
        """How many tokens the prompt and the answer have, as far as the server counts them."""
        return (self.note.get("input_tokens") or 0) + (self.note.get("output_tokens") or 0)

    @property
    def money(self) -> float | None:
        """What it cost; None where nobody has named a price."""
        money = self.note.get("money")
        return None if money is None else float(money)

    @property
    def seconds(self) -> float | None:
        """How long the answer took."""
        seconds = self.note.get("seconds")
        return None if seconds is None else float(seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON data; see `call` in docs/explaining.schema.json."""
        question, note = self.question, self.note
        return {
            "agent": question.agent,
            "name": question.name,
            "round": self.round,
            "try": question.attempt + 1,
            "refused": self.refused,
            "exact": self.exact,
            "model": self.model,
            "prompt": self.prompt,
            "answer": self.text if self._is_a_model else self.answer,
            "tools": self.tools,
            "requests": self.requests,
            "input_tokens": note.get("input_tokens"),
            "output_tokens": note.get("output_tokens"),
            "money": self.money,
            "seconds": self.seconds,
            "note": dict(note),
        }

    @property
    def _is_a_model(self) -> bool:
        answer = self.answer
        return isinstance(answer, Mapping) and isinstance(answer.get("answer"), Mapping) and "messages" in answer


class Calls:
    """All calls of one job, by the supports that came of them."""

    def __init__(self, context: Context, trace: Iterable[Event], captures: Captures) -> None:
        self._context, self._captures = context, captures
        self._rounds: dict[Question, int] = {}  # in the order of their answers
        self._by_round: dict[tuple[str, str], dict[int, list[Question]]] = {}  # agent, version -> round read -> asked
        self._failed: dict[str, list[int]] = {}  # agent -> the rounds that an activation of it failed on
        self._read: dict[tuple[int, int], int] = {}  # source, round written -> round read
        self._stated: dict[tuple[int, int], list[int]] = {}  # source, round written -> the supports it added
        self._by_item: dict[tuple[int, int], _ByItem] = {}
        if any(question.name != SAID for question, _ in captures):
            self._index(trace)

    def __iter__(self) -> Iterator[Call]:
        return (self._call(question, exact=True) for question in self._rounds)

    def __bool__(self) -> bool:
        return bool(self._rounds)

    def supports(self) -> Iterator[int]:
        """Iterate over the supports of agents that made calls."""
        return (index for stated in self._stated.values() for index in stated)

    def of(self, support: Support) -> tuple[Call, ...]:
        """Return the calls that a derivation came of, in the order of their answers."""
        key = (support.source, support.round)
        if key not in self._stated:
            return ()
        if key not in self._by_item:
            self._by_item[key] = self._sorted(key)
        by_item = self._by_item[key]
        named = [one for cited in self._context.evidence_of(support) for one in by_item.get(cited, ())]
        if named:
            return tuple(self._call(question, exact=True) for question in named)
        general = by_item.get(None, [])
        exact = len({(question.name, question.arguments) for question in general}) == 1 or self._is_one_talk(general)
        return tuple(self._call(question, exact=exact) for question in general)

    # --- which belong to which ----------------------------------------------------------------------------------

    def _index(self, trace: Iterable[Event]) -> None:
        supports = self._context.supports
        for event in trace:
            if isinstance(event, ActivationFailed):
                self._failed.setdefault(event.agent, []).append(event.round)
            elif isinstance(event, Captured):
                question = Question(event.agent, *event[3:8])
                if self._captures.knows(question):
                    rounds = self._by_round.setdefault((event.agent, event.version), {})
                    rounds.setdefault(event.round, []).append(question)
                    self._rounds[question] = event.round
        for source, read, wrote in supports.completions():
            self._read[supports.number(source), wrote] = read
        asking = {number for number, source in enumerate(supports.sources) if self._asked(number)}
        for index, support in enumerate(supports):
            if support.source in asking:
                self._stated.setdefault((support.source, support.round), []).append(index)

    def _asked(self, number: int) -> dict[int, list[Question]]:
        source = self._context.supports.sources[number]
        return self._by_round.get((source.agent, source.version), {})

    def _sorted(self, key: tuple[int, int]) -> "_ByItem":
        """Return what an activation asked, by the fact that it was about; None: about all it read."""
        asked, read = self._asked(key[0]), self._read.get(key, key[1] - 1)
        supports = self._context.supports
        cited = {place for index in self._stated[key] for place in self._context.evidence_of(supports[index])}
        # An activation that failed after it was answered is tried again in a later round, and asks nothing then.
        for round in [read] if read in asked else sorted((one for one in asked if one < read), reverse=True):
            found: _ByItem = {}
            for question in asked[round]:
                for item in self._items(question, cited):
                    found.setdefault(item, []).append(question)
            if found:
                before = self._answered_in_vain(supports.sources[key[0]], round)
                return {item: self._with_earlier(several, before) for item, several in found.items()}
        return {}

    def _answered_in_vain(self, source: Source, round: int) -> list[Question]:
        """Return what an agent had asked in activations that failed."""
        asked = self._by_round[source.agent, source.version]
        return [one for failed in self._failed.get(source.agent, ()) if failed < round for one in asked.get(failed, ())]

    def _with_earlier(self, questions: list[Question], before: Sequence[Question]) -> list[Question]:
        """Return questions after those that led up to them: earlier tries, and earlier turns of the conversation."""
        tries = {question._replace(attempt=attempt) for question in questions for attempt in range(question.attempt)}
        led = [one for one in before if one in tries or any(self._leads(one, question) for question in questions)]
        return [*led, *(question for question in questions if question not in led)]

    def _leads(self, one: Question, other: Question) -> bool:
        return self._is_one_talk([one, other]) and one.arguments != other.arguments

    def _items(self, question: Question, cited: Iterable[int]) -> list[int | None]:
        """Return what a question was about, in a list: a position, None for all that was read; empty for another."""
        context, answer = self._context, self._captures.answer(question)
        asked = answer.get("messages") if isinstance(answer, Mapping) else None
        facts = [context.facts[place] for place in cited]
        if question.arguments.startswith("view "):
            return [None]
        if asked is None:
            fact = asked_about(question, (), facts)
        elif digest_of_arguments((asked, None)) == question.arguments:
            return [None]
        else:
            fact = asked_about(question, (asked,), facts)
        if fact is not None:
            return [context.position[id_of(fact)]]
        return [None] if asked is None else []  # a call of somebody's own, about who knows what

    def _is_one_talk(self, questions: Sequence[Question]) -> bool:
        """Whether each question goes on from the one before: one conversation of several turns."""
        answers = [self._captures.answer(one) for one in questions]
        talks = [one["messages"] for one in answers if isinstance(one, Mapping) and "messages" in one]
        return len(talks) == len(questions) > 0 and all(
            after[: len(before)] == before for before, after in pairwise(talks)
        )

    def _call(self, question: Question, *, exact: bool) -> Call:
        captures = self._captures
        refused = captures.knows(question._replace(attempt=question.attempt + 1))
        note = captures.note(question) or {}
        return Call(question, self._rounds[question], captures.answer(question), note, refused, exact)


_ByItem = dict[int | None, list[Question]]
