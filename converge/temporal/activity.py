"""The activities: one is a job, one a person's decision on what it asks, one gives it late facts.

Each may be done twice, by any worker of the same store, to the same effect.
"""

__all__ = ["Engines", "converge_activity", "converge_decision", "converge_giving"]

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from temporalio import activity

from converge.archive.deciding import is_decided
from converge.engine import Engine
from converge.errors import ConvergeError, RequestStale
from converge.fact import Fact, kind_of
from converge.intent import RootIntent
from converge.temporal.attempt import attempt
from converge.temporal.failure import failure_of
from converge.temporal.reading import chosen_kinds, facts_of, read, read_all
from converge.temporal.telling import told
from converge.temporal.values import DecisionInput, FactLine, JobInput, JobOutcome

Engines = Engine | Callable[[], Engine]  # an engine, or what makes one: called once, in the worker that needs it


def converge_activity(
    engine: Engines, *, chosen: Iterable[type[Fact]] = (), intent: RootIntent | str | None = None
) -> Callable[[JobInput], Awaitable[JobOutcome]]:
    """Return the activity `converge_job`: it begins a job, or goes on with one, and returns how it stands at its stop.

    Any worker that has the same store can go on with a job: nothing that was recorded is asked again. Each third of
    its heartbeat timeout it beats with {"job", "cycle", "facts", "live", "spend"}. Cancelled, it returns an outcome
    that stopped as `cancelled`. Where its worker shuts down it fails as `HandedOver`, and is retried elsewhere.
    chosen: the kinds whose live facts come back, where the input names none. intent: the one of inputs that have none.
    Fails without a retry for input that cannot be used, with the type of the error, as in "FactsMismatch".
    """
    engine_here, default = _once(engine), RootIntent(intent) if isinstance(intent, str) else intent
    labels = [kind_of(kind).label for kind in chosen]

    @activity.defn(name="converge_job")
    async def converge_job(given: Any) -> JobOutcome:  # Any: the SDK would retry for ever what it cannot decode
        job = read(JobInput, given)
        with _failing():
            here = engine_here()
            kinds = chosen_kinds(job.chosen or labels, here.kinds)  # refused before the job runs, not when it has
            return told(await attempt(here, job, default), kinds)

    return converge_job


def converge_decision(engine: Engines) -> Callable[[str, DecisionInput], Awaitable[None]]:
    """Return the activity `converge_decide`: it states a person's decision to a job, which goes on when next begun.

    Fails without a retry for a decision that is no answer, with the type of the error, as in "RequestStale".
    """
    engine_here = _once(engine)

    @activity.defn(name="converge_decide")
    async def converge_decide(job_id: str, given: Any) -> None:
        decision = read(DecisionInput, given)
        with _failing():
            await _decide(engine_here(), job_id, decision)

    return converge_decide


def converge_giving(engine: Engines) -> Callable[[str, list[FactLine]], Awaitable[None]]:
    """Return the activity `converge_give`: it gives late facts to a job, whoever runs it.

    Fails without a retry for facts that do not fit, with the type of the error, as in "KindUnknown".
    """
    engine_here = _once(engine)

    @activity.defn(name="converge_give")
    async def converge_give(job_id: str, given: Any) -> None:
        lines = read_all(FactLine, given)
        with _failing():
            here = engine_here()
            await here.give(job_id, facts_of(lines, here.kinds))

    return converge_give


def _once(engine: Engines) -> Callable[[], Engine]:
    return (lambda: engine) if isinstance(engine, Engine) else cache(engine)


async def _decide(engine: Engine, job_id: str, decision: DecisionInput) -> None:
    content = decision.model_dump(exclude={"request", "choice"})
    try:
        await engine.decide(job_id, decision.request, decision.choice, **content)
    except RequestStale as error:  # an earlier attempt may have stated it, and not been heard
        async with engine:
            if not await is_decided(engine.store, job_id, {**decision.model_dump(), "request": error.request}):
                raise


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except ConvergeError as error:
        raise failure_of(error, time.time()) from None  # it was foreseen, and is one sentence
