"""Errors as Temporal has them: what another attempt may mend is retried, and when; all else fails at once."""

__all__ = ["failure_of", "handed_over", "refused"]

from datetime import timedelta

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from converge.errors import (
    ConvergeError,
    EngineBusy,
    JobAbandoned,
    JobExists,
    JobLeased,
    LeaseLost,
    StoreConflict,
    StoreUnavailable,
)

# Somebody is, or was, at work on the job, or the store did not answer. Everything else would fail in the same words.
_PASSING = (EngineBusy, JobAbandoned, JobExists, JobLeased, LeaseLost, StoreConflict, StoreUnavailable)
_BENIGN = (EngineBusy, JobExists, JobLeased)  # many workers are like that: no incident in the log of one
_SOON = 1.0  # seconds until an attempt that another one in this store stands in the way of is worth repeating
_LATEST = 600.0
_AT_ONCE = timedelta(milliseconds=1)  # 0 would leave it to the retry policy


def failure_of(error: ConvergeError, now: float) -> ApplicationError:
    """Return an error as a failure of its own type, as in "JobLeased"; `now`: seconds since the epoch."""
    if not isinstance(error, _PASSING):
        return refused(type(error).__name__, str(error))
    return _passing(type(error).__name__, str(error), _delay(error, now), is_benign=isinstance(error, _BENIGN))


def refused(kind: str, sentence: str) -> ApplicationError:
    """Return a failure that no further attempt would mend."""
    return ApplicationError(sentence, type=kind, non_retryable=True)


def handed_over(job_id: str) -> ApplicationError:
    """Return the failure by which an attempt has another one go on with its job."""
    sentence = (
        f"this attempt has let go of job {job_id!r}, since its worker shuts down or Temporal has given it up: "
        "another one goes on with it"
    )
    return _passing("HandedOver", sentence, _AT_ONCE, is_benign=True)


def _passing(kind: str, sentence: str, delay: timedelta | None, *, is_benign: bool) -> ApplicationError:
    category = ApplicationErrorCategory.BENIGN if is_benign else ApplicationErrorCategory.UNSPECIFIED
    return ApplicationError(sentence, type=kind, next_retry_delay=delay, category=category)


def _delay(error: ConvergeError, now: float) -> timedelta | None:
    """Return after how long another attempt is worth its while; None leaves it to the retry policy."""
    if isinstance(error, JobLeased):  # not before the lease ends, if its holder is gone
        return timedelta(seconds=min(max(error.expires - now, 0.0) + _SLACK, _LATEST))
    return timedelta(seconds=_SOON) if isinstance(error, (EngineBusy, JobExists)) else None


_SLACK = 0.05  # so that the lease has ended by then
