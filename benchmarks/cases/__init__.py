"""Every case, in the order in which they are measured: `cases(setting)` of each file yields its plans."""

__all__ = ["ALL"]

from benchmarks.cases import (
    calls,
    chain,
    closure,
    eligible,
    fan,
    growth,
    importing,
    labelling,
    many_jobs,
    memory,
    one_more,
    plain,
    resume,
    sleeping,
    watched,
)

ALL = {
    module.__name__.rpartition(".")[2]: module.cases
    for module in (
        plain,
        chain,
        fan,
        eligible,
        growth,
        closure,
        sleeping,
        calls,
        resume,
        one_more,
        memory,
        many_jobs,
        importing,
        labelling,
        watched,
    )
}  # by the name of its file, as --only takes it
