"""How far each agent has come, and who has something unread.

An agent is eligible when something in what it reads grew since it last looked. Two numbers per agent say so: the
round of its last completed activation, where `view.new` begins, and the last round it looked at, which is all that
the fixed point asks. A refused or failed activation moves only the second.
"""

__all__ = ["Eligible", "Progress"]

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from converge.agent import Agent
from converge.context import Context
from converge.merge import Growth
from converge.snapshot import Watermark
from converge.view import View
from converge.wiring import Wiring

_NEVER = -1


class Eligible(NamedTuple):
    """Agents by number, in name order, and the round they read. `whole`: all of them or none."""

    numbers: list[int]
    round: int
    whole: bool


class Progress:
    """The watermarks of one job's agents and the rounds they have yet to read."""

    def __init__(self, wiring: Wiring, context: Context, watermarks: Mapping[str, Watermark]) -> None:
        self._wiring, self._context, self._known = wiring, context, watermarks
        self.watermarks = [Watermark(a.source) if self._is_new(a) else watermarks[a.name] for a in wiring.agents]
        # Agents whose watermark a commit has yet to hold; a new one is noted at once, so that a resume knows it.
        self._moved = {number for number, agent in enumerate(wiring.agents) if self._is_new(agent)}
        self._rounds: dict[int, int] = {}  # agent -> the first round it has not read
        self._settled: set[int] = set()  # settled agents with something unread
        self._overtaken = False  # whether facts above the round being read exist already

    def __bool__(self) -> bool:
        """Whether anybody has something unread."""
        return bool(self._rounds or self._settled)

    # --- waking -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Wake those who read nothing, or replace: the root intent is unread to them, so they run at least once."""
        for number, agent in enumerate(self._wiring.agents):
            if not agent.reads or agent.replacing:
                self.wake_one(number, 0)

    def restore(self) -> None:
        """Wake, after a restore, whoever the watermarks say has not read everything.

        A new agent and one that failed read the highest round: a lower one has been passed by others already.
        """
        for number, (agent, watermark) in enumerate(zip(self._wiring.agents, self.watermarks, strict=True)):
            round = self._first_unread(agent, watermark.seen)
            if watermark.seen == _NEVER and (not agent.reads or agent.replacing):
                round = 0
            if watermark.failed or (round is not None and self._is_new(agent)):
                round = self._context.highest
            if round is not None:
                self.wake_one(number, round)

    def wake(self, kinds: Iterable[str], round: int, besides: int | None = None) -> None:
        """Wake the readers of kinds that gained facts in `round`, `besides` left out."""
        for label in kinds:
            for number in self._wiring.readers.get(label, ()):
                if number != besides:
                    self.wake_one(number, round)

    def wake_relabelled(self, growth: Growth) -> tuple[tuple[int, str], ...]:
        """Wake the readers of labels that a merge changed; return the rounds and kinds concerned."""
        if not self._wiring.relabel_readers:
            return ()
        # Usually the round merged is the highest. Below later ones it may change what their markers do.
        later = [round for round in self._context.unsettling if round > growth.round]
        rounds = [growth.round, *later] if growth.relabels else later
        return tuple((round, label) for round in rounds for label in self._relabelled_in(round))

    def wake_one(self, number: int, round: int) -> None:
        """Note that an agent has `round` unread."""
        if number in self._wiring.levels:
            self._settled.add(number)
        else:
            self._rounds[number] = min(round, self._rounds.get(number, round))

    # --- reading ------------------------------------------------------------------------------------------------

    def eligible(self) -> Eligible:
        """Return who reads next: all who have not read the lowest unread round, so that nobody is overtaken.

        When only settled agents are left, those of the lowest level read everything there is, all or none of them:
        one that came later would see more than it should.
        """
        if self._rounds:
            round = min(self._rounds.values())
            numbers = sorted(number for number, unread in self._rounds.items() if unread <= round)
        else:
            round = self._context.highest
            level = min((self._wiring.levels[number] for number in self._settled), default=0)
            numbers = sorted(number for number in self._settled if self._wiring.levels[number] == level)
        self._overtaken = self._context.highest > round
        return Eligible(numbers, round, whole=not self._rounds)

    def take(self, number: int) -> None:
        """Note that an agent is reading: nothing is unread to it until it is told otherwise."""
        self._rounds.pop(number, None)
        self._settled.discard(number)

    def view(self, number: int, round: int) -> View:
        """Return an agent's view of a round."""
        return View(self._context, round, self._wiring.agents[number].reader, self.watermarks[number].ran)

    def completed(self, number: int, round: int) -> None:
        """Note a completed activation that read `round`."""
        self._move(number, Watermark(self._wiring.agents[number].source, round, round))

    def refused(self, number: int, round: int) -> None:
        """Note that an agent looked at `round` and had no use for it; `view.new` goes on accumulating."""
        self._move(number, self.watermarks[number]._replace(seen=round))

    def failed(self, number: int, round: int) -> None:
        """Note a failed activation: it is tried again when something grows, or on resume."""
        self._move(number, self.watermarks[number]._replace(seen=round, failed=True))

    # --- telling ------------------------------------------------------------------------------------------------

    def failing(self, *, required: bool) -> tuple[str, ...]:
        """Return the names of the required, or of the optional, agents whose last activation failed."""
        agents = zip(self._wiring.agents, self.watermarks, strict=True)
        return tuple(agent.name for agent, watermark in agents if watermark.failed and agent.required is required)

    def unread(self) -> tuple[tuple[str, int], ...]:
        """Return who has something unread, in name order, and the round each would read next."""
        rounds = dict.fromkeys(self._settled, self._context.highest) | self._rounds
        return tuple((self._wiring.agents[number].name, rounds[number]) for number in sorted(rounds))

    @property
    def moved(self) -> bool:
        """Whether watermarks have changed since they were last collected."""
        return bool(self._moved)

    def collect(self) -> tuple[Watermark, ...]:
        """Return the watermarks that changed since the last time, for a commit to hold."""
        watermarks = tuple(self.watermarks[number] for number in sorted(self._moved))
        self._moved.clear()
        return watermarks

    # --- within -------------------------------------------------------------------------------------------------

    def _relabelled_in(self, round: int) -> list[str]:
        changed = sorted(self._context.relabelled(round - 1, round))
        for label in changed:
            self._context.kinds[label].relabel(round)
            for number in self._wiring.relabel_readers.get(label, ()):
                self.wake_one(number, round)
        return changed

    def _move(self, number: int, watermark: Watermark) -> None:
        self.watermarks[number] = watermark
        self._moved.add(number)
        self.take(number)
        # In a round that a budget cut short, what its first part wrote lies above it and is unread as well.
        if self._overtaken and (round := self._first_unread(self._wiring.agents[number], watermark.seen)) is not None:
            self.wake_one(number, round)

    def _first_unread(self, agent: Agent, seen: int) -> int | None:
        rounds: list[int] = []
        for label in agent.reader.reads or ():
            if (log := self._context.kinds.get(label)) is None:
                continue
            if (round := log.first_after(seen)) is not None:
                rounds.append(round)
            if agent.replacing:
                rounds += [round for round in log.relabelled if round > seen]
        return min(rounds, default=None)

    def _is_new(self, agent: Agent) -> bool:
        watermark = self._known.get(agent.name)
        return watermark is None or watermark.source.version != agent.version
