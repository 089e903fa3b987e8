"""How far each agent has come: who has something unread, who is reading, and since when.

An agent is due when something in what it reads grew since it last looked. Its watermark says so with two numbers: the
round of its last completed activation, where `view.new` begins, and the last round it looked at, which is all that the
fixed point asks. A refused or failed activation moves only the second.

What is unread to an agent that reads liveness may turn out to be nothing: labels could have changed, and did not. It
is known for certain only when the round is closed, so `stirs` is asked then, and `overlook` notes that it was nothing.
That is no part of a watermark: which labels could have changed, for all that was known, is timing.
"""

__all__ = ["Progress"]

from collections.abc import Iterable, Iterator, Mapping
from math import inf

from converge.agent import Agent
from converge.capture import Captures
from converge.context import Context
from converge.fact import kind_of
from converge.flow import Group
from converge.snapshot import Watermark
from converge.view import View
from converge.wiring import Wiring

_NEVER = -1
_NOTHING: frozenset[int] = frozenset()


class Progress:
    """The watermarks of one job's agents, the rounds they have yet to read and those they are reading."""

    def __init__(
        self, wiring: Wiring, context: Context, watermarks: Mapping[str, Watermark], captures: Captures
    ) -> None:
        self.wiring, self._context, self._known, self._captures = wiring, context, watermarks, captures
        new = {number for number, agent in enumerate(wiring.agents) if not watermarks or self._is_new(agent)}
        agents = enumerate(wiring.agents)
        self.watermarks = [Watermark(a.source) if number in new else watermarks[a.name] for number, a in agents]
        self.view_type: type[View] = View
        # Agents whose watermark a commit has yet to hold; a new one is noted at once, so that a resume knows it.
        self._moved = new
        self._due: dict[int, int] = {}  # agent -> the first round it has not read
        # Groups that nothing concerns are in neither of these: what they cost must not grow with how many there are.
        self._waiting: dict[int, dict[int, set[int]]] = {}  # group -> round -> agents due
        self._reading: dict[int, dict[int, int]] = {}  # group -> round -> how many read it
        self._open: dict[int, int] = {}  # agent -> the round it is reading
        self._again: dict[int, frozenset[int]] = {}  # agent -> facts it is given a second time
        self._overlooked: dict[int, int] = {}  # agent -> up to here, labels that could have changed did not
        self._tried_again: set[int] = set()  # agents that failed, and may have better luck though nothing has grown

    # --- waking -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Wake those who read nothing, or replace: the root intent is unread to them, so they run at least once."""
        for number, agent in enumerate(self.wiring.agents):
            if not agent.reads or agent.replacing:
                self.wake_one(number, 0)

    def restore(self) -> None:
        """Wake, after a restore, whoever the watermarks say has not read everything.

        A new agent and one that failed read the highest round: a lower one has been passed by others already.
        """
        for number, (agent, watermark) in enumerate(zip(self.wiring.agents, self.watermarks, strict=True)):
            round = self._first_unread(number, watermark.seen)
            if watermark.seen == _NEVER and (not agent.reads or agent.replacing):
                round = 0
            if watermark.failed or (round is not None and self._is_new(agent)):
                round = self._context.highest
                self._tried_again.add(number)
            if round is not None and self.stirs(number, self._context.highest):
                self.wake_one(number, round)

    def wake(self, grown: Iterable[tuple[str, int]], besides: int | None = None) -> None:
        """Wake the readers of kinds that gained facts in a round, `besides` left out."""
        flow = self.wiring.flow
        for label, round in grown:
            for place in flow.readers.get(label, ()):
                members = flow.groups[place].members
                if besides is None and place not in self._waiting:  # as mostly: all of them at once
                    self._due.update(dict.fromkeys(members, round))
                    self._waiting[place] = {round: set(members)}
                    continue
                for number in members:
                    if number != besides:
                        self.wake_one(number, round)

    def wake_stirred(self) -> None:
        """Wake the readers of liveness whose labels may have changed since this was last called."""
        if not self.wiring.reads_liveness:
            return
        flow = self.wiring.flow
        for label, round in self._context.labelling.take_stirs():
            for place in {*flow.minders(label), *flow.minders(f"!{label}")}:
                if flow.groups[place].replaces:
                    for number in flow.groups[place].members:
                        if round > self.watermarks[number].seen:  # else it is found late that nothing had changed
                            self._overlooked[number] = min(round - 1, self._overlooked.get(number, _NEVER))
                            self.wake_one(number, round)

    def wake_one(self, number: int, round: int) -> None:
        """Note that an agent has `round` unread."""
        before = self._due.get(number)
        if before is not None:
            if before <= round:
                return
            self._forget(number)
        self._due[number] = round
        self._waiting.setdefault(self.wiring.flow.group_of[number], {}).setdefault(round, set()).add(number)

    def offer(self, number: int, facts: frozenset[int], round: int) -> None:
        """Give an agent some facts once more, in a round in which nothing else is new."""
        self._again[number] = facts
        self.watermarks[number] = self.watermarks[number]._replace(offered=round)
        self._moved.add(number)
        self.wake_one(number, round)

    def offered(self) -> list[int]:
        """Return the rounds in which agents were offered what they have not completed on."""
        return sorted({one.offered for one in self.watermarks if one.offered > one.mended})

    def offer_again(self, lost: Mapping[int, frozenset[int]], round: int) -> None:
        """After a restore, give again what agents were offered in a round and have not completed on."""
        for number, facts in lost.items():
            watermark = self.watermarks[number]
            if watermark.offered == round > watermark.mended:
                self._again[number] = facts
                if round > watermark.seen:
                    self.wake_one(number, round)

    def given_again(self, number: int) -> frozenset[int]:
        """Return what an agent is to be given once more, or was and has not completed on."""
        return self._again.get(number, _NOTHING)

    # --- who is where -------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nobody has anything unread and nobody is reading."""
        return not self._due and not self._open

    @property
    def reading(self) -> bool:
        """Whether an activation is open."""
        return bool(self._open)

    def stamps(self) -> dict[int, int]:
        """Return per group the lowest round that a member is reading or has unread.

        What a settled agent has unread is what will be its upstream's highest round: at least its lowest one.
        """
        found: dict[int, int] = {}
        settled: dict[int, int] = {}
        for place in self._waiting.keys() | self._reading.keys():
            waiting, reading = self._waiting.get(place, ()), self._reading.get(place, ())
            if self.wiring.flow.groups[place].settled:
                settled[place] = min([self.highest_upstream(place), *reading])
            else:
                found[place] = min([*reading, *waiting])
        if not settled:
            return found
        bounds = found | settled
        for place, own in settled.items():
            upstream = self.wiring.flow.upstream[place]
            found[place] = min([own, *(round for other, round in bounds.items() if other in upstream)])
        return found

    def alone(self) -> list[tuple[int, int]] | None:
        """Return who may read what where that is no question: one group waits, for one round, and nobody reads."""
        if self._reading or len(self._waiting) != 1:
            return None
        (place,) = self._waiting
        if self.wiring.flow.groups[place].settled or len(self._waiting[place]) != 1:
            return None
        ((round, numbers),) = self._waiting[place].items()
        return [(round, number) for number in sorted(numbers)]

    def due(self) -> Iterator[tuple[int, Group, int, set[int]]]:
        """Iterate over what is unread: group's place, group, round, and the agents that are not reading already."""
        for place, waiting in self._waiting.items():
            for round, numbers in waiting.items():
                free = numbers - self._open.keys() if self._open else set(numbers)
                if free:
                    yield place, self.wiring.flow.groups[place], round, free

    def is_quiet_above(self, place: int) -> bool:
        """Whether nothing can reach a settled group any more, but for settled ones that it can reach in turn."""
        flow = self.wiring.flow
        for other in flow.upstream[place]:
            mutual = flow.groups[other].settled and flow.circles[other] == flow.circles[place]
            if other in self._reading or (other in self._waiting and not mutual):
                return False
        return True

    def highest_upstream(self, place: int) -> int:
        """Return the highest round of anything that a settled group reads or depends on."""
        reads, reads_live = self.wiring.flow.read_upstream[place]
        logs = (self._context.kinds.get(label) for label in reads)
        highest = max((log.rounds[-1] for log in logs if log is not None and log.rounds), default=0)
        highest = max(highest, self._context.labelling.last_change(reads_live, highest))
        # What its fellows on a circle have looked at is closed for them: it must not write there.
        return max([highest, *(self.watermarks[number].seen for number in self.wiring.flow.fellows.get(place, ()))])

    # --- reading ------------------------------------------------------------------------------------------------

    def stirs(self, number: int, round: int) -> bool:
        """Whether what an agent has unread up to a closed round is more than labels that could have changed."""
        agent, watermark = self.wiring.agents[number], self.watermarks[number]
        if not agent.replacing or watermark.seen == _NEVER or number in self._tried_again:
            return True
        if self._grew(agent, watermark.seen, round):
            return True
        labelling, reads = self._context.labelling, agent.reader.reads or {}
        rounds = [later for later in labelling.rounds(watermark.seen) if later <= round]
        changed = {kind_of(self._context.facts[fact]).label for later in rounds for fact in labelling.changed(later)}
        return not changed.isdisjoint(reads)

    def take(self, several: Iterable[tuple[int, int]]) -> None:
        """Note of each agent that it is reading a round: nothing is unread to it until it is told otherwise."""
        group_of = self.wiring.flow.group_of
        for round, number in several:
            self._forget(number)
            if self._tried_again:
                self._tried_again.discard(number)
            self._open[number] = round
            reading = self._reading.get(group_of[number])
            if reading is None:
                self._reading[group_of[number]] = {round: 1}
            else:
                reading[round] = reading[round] + 1 if round in reading else 1

    def release(self, numbers: Iterable[int]) -> None:
        """Note that agents' activations have ended."""
        group_of = self.wiring.flow.group_of
        for number in numbers:
            round, place = self._open.pop(number), group_of[number]
            reading = self._reading[place]
            if reading[round] > 1:
                reading[round] -= 1
            elif len(reading) > 1:
                del reading[round]
            else:
                del self._reading[place]

    def view(self, number: int, round: int) -> View:
        """Return an agent's view of a round."""
        reader, watermark = self.wiring.agents[number].reader, self.watermarks[number]
        again = self._again.get(number, _NOTHING)
        return self.view_type(
            self._context, round, reader, watermark.ran, again, self._captures, mends=watermark.offered == round
        )

    def completed(self, number: int, round: int, wrote: int) -> None:
        """Note a completed activation that read `round`."""
        watermark = self.watermarks[number]
        mended = watermark.mended if self._again.pop(number, None) is None else round
        self._finish(number, Watermark(watermark.source, round, round, False, wrote, mended, watermark.offered))

    def overlook(self, number: int, round: int) -> None:
        """Note that nothing had changed for an agent up to `round`, or up to what it had due above that."""
        self._overlooked[number] = max(round, self._due.get(number, round))
        self._finish(number, self.watermarks[number])

    def pass_by(self, number: int, round: int) -> None:
        """Note that an agent looked at `round` and had no use for it; `view.new` goes on accumulating."""
        self._finish(number, self.watermarks[number]._replace(seen=round))

    def failed(self, number: int, round: int) -> None:
        """Note a failed activation: it is tried again when something grows, or on resume."""
        self._finish(number, self.watermarks[number]._replace(seen=round, failed=True))

    # --- telling ------------------------------------------------------------------------------------------------

    def failing(self, *, required: bool) -> tuple[str, ...]:
        """Return the names of the required, or of the optional, agents whose last activation failed."""
        agents = zip(self.wiring.agents, self.watermarks, strict=True)
        return tuple(agent.name for agent, watermark in agents if watermark.failed and agent.required is required)

    def unread(self) -> tuple[tuple[str, int], ...]:
        """Return who has something unread, in name order, and the round each would read next."""
        due = (number for number in sorted(self._due) if self.stirs(number, self._context.highest))
        return tuple((self.wiring.agents[number].name, self._stirring(number)) for number in due)

    @property
    def moved(self) -> bool:
        """Whether watermarks have changed since they were last collected."""
        return bool(self._moved)

    def collect(self, *, everybody: bool = False) -> tuple[Watermark, ...]:
        """Return the watermarks that changed since the last time, or all of them, for a commit to hold."""
        moved = range(len(self.watermarks)) if everybody else sorted(self._moved)
        watermarks = tuple(map(self.watermarks.__getitem__, moved))
        self._moved.clear()
        return watermarks

    # --- within -------------------------------------------------------------------------------------------------

    def _finish(self, number: int, watermark: Watermark) -> None:
        """Move a watermark to what was looked at; what lies above it is unread."""
        if watermark != self.watermarks[number]:
            self.watermarks[number] = watermark
            self._moved.add(number)
        if number in self._due:
            self._forget(number)
        round = self._first_unread(number, watermark.seen)
        if round is not None:
            self.wake_one(number, round)

    def _stirring(self, number: int) -> int:
        """Return the first round, from the one that an agent has due, in which there is anything to it."""
        round = self._due[number]
        while not self.stirs(number, round):
            later = self._first_unread(number, round)
            if later is None:
                break
            round = later
        return round

    def _forget(self, number: int) -> None:
        round = self._due.pop(number, None)
        if round is None:
            return
        place = self.wiring.flow.group_of[number]
        waiting = self._waiting[place]
        waiting[round].discard(number)
        if not waiting[round]:
            del waiting[round]
            if not waiting:
                del self._waiting[place]

    def _first_unread(self, number: int, seen: int) -> int | None:
        agent, context = self.wiring.agents[number], self._context
        found: float = inf
        for label in agent.reader.reads or ():
            log = context.kinds.get(label)
            if log is not None and (round := log.first_after(seen)) is not None:
                found = min(found, round)
        if agent.replacing and not context.labelling.all_live(context.highest):
            flow, seen = self.wiring.flow, max(seen, self._overlooked.get(number, _NEVER))
            for label in flow.groups[flow.group_of[number]].minds:
                round = context.labelling.stirred_after(label.removeprefix("!"), seen)
                found = found if round is None else min(found, round)
        return None if found == inf else int(found)

    def _grew(self, agent: Agent, seen: int, round: int) -> bool:
        for label in agent.reader.reads or ():
            log = self._context.kinds.get(label)
            if log is not None and (first := log.first_after(seen)) is not None and first <= round:
                return True
        return False

    def _is_new(self, agent: Agent) -> bool:
        watermark = self._known.get(agent.name)
        return watermark is None or watermark.source.version != agent.version
