"""The confluence checker: a job is run again in other orders, and must come to the same facts each time.

1. Captures alone answer: nothing is asked of a model again, and a call that was not captured is itself the divergence.
2. Within the job's own schedule any difference is a defect, and the first one ends the search. Under the stream
   schedule, which the job did not ask for, a difference is a warning.
3. Cheapest first, and of equals whoever is most likely to show something.
"""

__all__ = ["Report", "verify"]

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice

from converge.agent import Agent
from converge.checking import arrival, diagnosis
from converge.checking.finding import Case, Finding
from converge.checking.history import History
from converge.checking.holdings import Holdings
from converge.checking.performing import Bench
from converge.checking.rerun import rerun
from converge.checking.trial import Rerun, Trial
from converge.errors import CaptureMissing
from converge.stop import Stop, StopReason
from converge.trace import JobStopped
from converge.view import UNRESTRICTED, View

_CRASHES = 8  # of one job, spread over its commits


@dataclasses.dataclass(frozen=True)
class Report:
    """What running a job again has shown. `families` counts the schedules tried, by family.

    defects: differences within the job's own schedule, at most one, since the search ends there; warnings: differences
    under the stream schedule; digests: those of the job as it was run again first.
    """

    job_id: str
    families: Mapping[str, int]
    defects: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def sound(self) -> bool:
        """Whether no schedule has shown a defect."""
        return not self.defects

    @property
    def schedules(self) -> int:
        """How many schedules were tried."""
        return sum(self.families.values())

    def __bool__(self) -> bool:
        return self.sound

    def __str__(self) -> str:
        tried = ", ".join(f"{family} {count}" for family, count in self.families.items())
        lines = [f"{self.verdict} ({self.schedules} tried: {tried})"]
        for title, findings in (("defect", self.defects), ("warning", self.warnings)):
            for finding in findings:
                first, *more = finding.lines()
                lines += [f"{title}, {first}", *(f"  {line}" for line in more)]
        return "\n".join(lines)

    @property
    def verdict(self) -> str:
        """The report in one sentence."""
        if self.defects:
            return f"job {self.job_id} has a defect: it depends on more than its facts"
        if self.warnings:
            return f"job {self.job_id} is sound under its own schedule, and would depend on arrival as a stream"
        return f"job {self.job_id} is sound: every schedule comes to the same facts"


async def verify(bench: Bench, job: History, schedules: int | None = None, *, stream: bool = False) -> Report:
    """Run a job again under at most so many schedules, half of them as a stream where that is asked for."""
    check = _Check(bench, job)
    own = schedules if not stream or schedules is None else (schedules + 1) // 2
    try:
        await check.look_for_defects(own)
        if stream and not check.defects:
            await check.look_for_warnings(None if schedules is None or own is None else schedules - own)
    finally:
        check.holdings.put_back()
    return check.told()


class _Check:
    """One job under test."""

    def __init__(self, bench: Bench, job: History) -> None:
        self._bench, self._job = bench, job
        self.holdings = Holdings(bench.wiring.agents)
        self.holdings.keep()
        self.defects: list[Finding] = []
        self._warnings: dict[tuple[str, str], Finding] = {}
        self._families: dict[str, int] = {}
        self._base: Rerun | None = None  # the job, run again as it was
        self._exact = all(stretch.exact for stretch in job.stretches)
        view = View(job.end.context, job.end.context.highest, UNRESTRICTED)
        self._expected = {"live_digest": view.live_digest()}
        if job.repeatable:
            self._expected = {"digest": view.digest(), **self._expected}
            if self._exact and len(job.stretches) == 1:
                self._expected["proof_digest"] = view.proof_digest()

    def told(self) -> Report:
        digests = _digests(self._base) if self._base is not None else {}
        return Report(
            self._job.end.job_id, self._families, tuple(self.defects), tuple(self._warnings.values()), digests
        )

    async def look_for_defects(self, most: int | None) -> None:
        """Try schedules of the job's own kind, until one shows a defect."""
        for trial in islice(self._own_trials(), most):
            finding = await self._try(trial)
            if finding is not None:
                self.defects.append(finding)
                return

    async def look_for_warnings(self, most: int | None) -> None:
        """Try stream schedules, and keep one difference for each agent and read."""
        for trial in islice(self._stream_trials(), most):
            finding = await self._try(trial)
            if finding is not None:
                self._warnings.setdefault((finding.agent, finding.read), finding)

    async def _try(self, trial: Trial) -> Finding | None:
        family = f"stream {trial.family}" if trial.stream else trial.family
        self._families[family] = self._families.get(family, 0) + 1
        run = await rerun(self._bench, self._job, trial, partial(self._forget, emptied=trial.emptied))
        self.holdings.put_back()
        differs = self._difference(run)
        good = self._base.acts if self._base is not None else ()
        if self._base is None:
            self._base = run
            self._expected |= {name: of for name, of in _digests(run).items() if name not in self._expected}
        if differs is None:
            return None
        agents = {agent.name: agent for agent in self._bench.wiring.agents}
        case = Case(agents, self.holdings, self._job.end.context, good, run, differs)
        by_rounds = self._exact and not trial.stream
        found = diagnosis.diagnosed(case) if by_rounds else arrival.diagnosed(case)
        return dataclasses.replace(found, number=sum(self._families.values()))

    def _forget(self, *, emptied: bool) -> None:
        self.holdings.put_back()
        if emptied:
            self.holdings.empty()

    def _difference(self, run: Rerun) -> str | None:
        """Return in what a rerun differs from the job, or from the first rerun where the job leaves that open."""
        if run.broken is not None:
            return "capture" if isinstance(run.broken.error, CaptureMissing) else "failure"
        if run.stop is None or run.stop.reason is StopReason.BUDGET or run.stop.unread:
            return "end"
        compared: tuple[str, ...] = _DIGESTS if self._exact and not run.trial.stream else _DIGESTS[:2]
        if run.trial.crash and any(stretch.letters for stretch in self._job.stretches):
            compared = ("live_digest",)  # who was at work when a letter came begins again with it
        known = {name: getattr(run.view, name)() for name in compared if name in self._expected}
        differing = next((name for name, found in known.items() if found != self._expected[name]), None)
        return "end" if differing is None and not self._ends_alike(run.stop) else differing

    def _ends_alike(self, stop: Stop) -> bool:
        last = self._job.end.trace[-1]
        return isinstance(last, JobStopped) and last.reason == stop.reason

    # --- what to try --------------------------------------------------------------------------------------------

    def _own_trials(self) -> Iterator[Trial]:
        yield Trial("as it is")
        sharers, names = self.holdings.sharers, self._names(self._bench.wiring.agents)
        if self.holdings.filled:  # what an earlier run left there can hide that it matters
            yield Trial("as it is", emptied=True)
            yield from (Trial("starve", name, emptied=True) for name in sharers)
        first = _in_order(sharers, names)
        yield from (Trial("starve", name) for name in first)
        yield Trial("reversed")
        yield from (Trial("prefer", name) for name in first)
        yield Trial("singles")
        yield Trial("twice")
        if not self._job.failing:  # who failed is asked once more after a crash, and may be luckier
            emptied = self.holdings.filled
            yield from (Trial("crash after commit", crash=place, emptied=emptied) for place in self._commits())

    def _stream_trials(self) -> Iterator[Trial]:
        first = _in_order(self._suspects(), self._names(self._bench.wiring.agents))
        yield Trial("first come", stream=True)
        yield Trial("reversed", stream=True)
        yield from (Trial("starve", name, stream=True) for name in first)
        yield from (Trial("prefer", name, stream=True) for name in first)
        yield Trial("singles", stream=True)

    def _commits(self) -> list[int]:
        """Return commits to crash after: all of a short job, of a long one some."""
        commits = self._base.commits if self._base is not None else 0
        return sorted({1 + place * commits // _CRASHES for place in range(_CRASHES)}) if commits else []

    def _names(self, agents: Iterable[Agent]) -> list[str]:
        """Return the agents that ran at all: the others can neither be late nor early."""
        ran = {act.agent for act in self._base.acts} if self._base is not None else set()
        return [agent.name for agent in agents if agent.name in ran]

    def _suspects(self) -> list[str]:
        """Return the agents that ask for more than what is new, and those whose facts they ask for, and so on."""
        acts = self._base.acts if self._base is not None else ()
        refused = {act.agent for act in acts if any(call.refused for call in act.calls)}
        asking = {(act.agent, call.kind) for act in acts for call in act.calls if call.name != "new"}
        suspects = [*sorted(refused), *sorted({agent for agent, _ in asking})]
        kinds = [kind for agent, kind in sorted(asking, key=lambda item: (item[0] not in refused, item))]
        agents = self._bench.wiring.agents
        for kind in kinds:
            writers = [agent for agent in agents if kind in agent.written and agent.name not in suspects]
            suspects += [agent.name for agent in writers]
            kinds += [label for agent in writers for label in agent.reader.reads or ()]
        return suspects


def _in_order(first: Iterable[str], names: list[str]) -> list[str]:
    return [name for name in dict.fromkeys([*first, *names]) if name in names]


_DIGESTS = ("digest", "live_digest", "proof_digest")


def _digests(run: Rerun) -> dict[str, str]:
    return {name: getattr(run.view, name)() for name in _DIGESTS}
