"""`converge why`, `why-not`, `diff` and `cost`: a stored job asked about what it knows; no agent runs."""

__all__ = ["cost", "diff", "why", "why_not"]

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from converge.cli.answer import (
    AsHtml,
    AsMermaid,
    Everything,
    FactWords,
    Form,
    OfTarget,
    WithCalls,
    asked,
    form_of,
    show_answer,
)
from converge.cli.completion import job_ids
from converge.cli.console import AsJson, JobId, counted, data, news, one_line, write_json, write_line
from converge.cli.place import DEFAULT_STORE, StoreAddress
from converge.cli.stored import Cycle
from converge.cli.usage import OptionInvalid
from converge.explain.content import data_of, described
from converge.explain.cost import Cost
from converge.explain.explained import Explained
from converge.explain.explanation import Explanation
from converge.explain.reference import Wanted
from converge.fact import Fact, id_of, kind_of


def why(
    job: JobId,
    fact: FactWords = None,
    cycle: Cycle = None,
    everything: Everything = False,
    calls: WithCalls = False,
    as_json: AsJson = False,
    mermaid: AsMermaid = False,
    html: AsHtml = False,
    store: StoreAddress = DEFAULT_STORE,
) -> None:
    """Show why a fact holds: the smallest proof of it, down to what was given, with what models answered on the way.

    Without FACT, the job's conclusions: facts that nothing else is concluded from.

    Of a fact that does not hold, why not. A proof is the smallest if no other takes fewer steps, counted as a tree.

    Example: converge why job-1f2e3d4c Risk name=fire --calls
    """
    form = form_of(as_json=as_json, mermaid=mermaid, html=html)
    explained = asked(store, job, cycle)
    told = {"job_id": explained.job_id, "store": store}
    found = _meant(explained, fact)
    if found is None:
        _list(explained, told, form)
    elif explained.label(found) == "live":
        answer = explained.why(found)
        show_answer(answer, form, told, everything=everything, calls=calls)
        if form == "text":
            write_line(news(), (_summary(answer), "dim"))
            _hint_at_decisions(explained)
    else:
        show_answer(explained.why_not(found), form, told, everything=everything)


def _meant(explained: Explained, words: Sequence[str] | None) -> Fact | None:
    """Return the fact that is meant; without words, the job's only conclusion, or None where there are several."""
    if words:
        return explained.fact(words)
    conclusions = explained.conclusions()
    return conclusions[0] if len(conclusions) == 1 else None


def _summary(proof: Explanation) -> str:
    steps = list(proof.steps())
    given = sum(step.agent is None for step in steps)
    agents = len({step.agent for step in steps if step.agent is not None})
    cost = Cost.of(call for step in steps for call in step.calls)
    said = f"{counted(len(steps), 'fact')}, {given:,} of them given; {counted(agents, 'agent')}; {cost}"
    return f"{said} (--calls shows them)" if cost.calls else said


def _hint_at_decisions(explained: Explained) -> None:
    if explained.asked:
        waits = f"{counted(len(explained.asked), 'decision')} awaited: converge decide {explained.job_id}"
        write_line(news(), (waits, "dim"))


_SHOWN = 20


def _list(explained: Explained, told: dict[str, Any], form: Form) -> None:
    """Print what there is to ask about."""
    facts = explained.conclusions()
    if form in ("mermaid", "html"):
        advice = f"name one of the {len(facts)} conclusions: `converge why {explained.job_id}` lists them"
        raise OptionInvalid("FACT", advice)
    if form == "json":
        write_json({**told, "what": "conclusions", "facts": [data_of(fact) for fact in facts]})
        return
    console = data()
    for fact in facts[:_SHOWN]:
        said = f" {one_line(described(fact))}"
        write_line(console, (_short(fact), "dim"), "  ", (kind_of(fact).label, "bold"), said, cut=True)
    if not facts:
        write_line(console, "nothing was concluded in this job: `converge show` lists what it was given")
    elif len(facts) > _SHOWN:
        write_line(console, f"and {len(facts) - _SHOWN:,} more")
    if facts:
        write_line(news(), (f"name one: converge why {explained.job_id} {_short(facts[0])}", "dim"))
    _hint_at_decisions(explained)


def _short(fact: Fact) -> str:
    """Return the first digits of a fact's id, which name it in a command."""
    return id_of(fact).rpartition(":")[2][:8]


def why_not(
    job: JobId,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="The kind of what does not hold.")],
    key: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY", help="Its key, or fields as name=value; any, if left out."),
    ] = None,
    target: OfTarget = None,
    cycle: Cycle = None,
    everything: Everything = False,
    as_json: AsJson = False,
    mermaid: AsMermaid = False,
    html: AsHtml = False,
    store: StoreAddress = DEFAULT_STORE,
) -> None:
    """Show why something does not hold: what became of it, and what stood in the way of each agent.

    It fell or is in dispute; a gate refused it or waits for somebody; an agent failed, had nothing to read, ...

    With --target, the agents that could have stated it are known, whether or not they ever did.

    Example: converge why-not job-1f2e3d4c Risk fire --target shop.risks:engine
    """
    form = form_of(as_json=as_json, mermaid=mermaid, html=html)
    explained = asked(store, job, cycle, target)
    wanted = Wanted.of([kind, *(key or ())])
    answer = explained.lacks(wanted)
    show_answer(answer, form, {"job_id": explained.job_id, "store": store}, everything=everything)
    if form == "text" and not answer.agents_known:
        write_line(news(), ("--target package.module:engine tells what each agent could have done", "dim"))


def diff(
    job: JobId,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The id of the other job.", autocompletion=job_ids)],
    everything: Everything = False,
    calls: WithCalls = False,
    as_json: AsJson = False,
    mermaid: AsMermaid = False,
    html: AsHtml = False,
    store: StoreAddress = DEFAULT_STORE,
    other_store: Annotated[
        str | None, typer.Option("--other-store", metavar="ADDRESS", help="Where OTHER is kept, if not in --store.")
    ] = None,
) -> None:
    """Show where two jobs part: the first effect that one has and the other has not, and what follows from it.

    What they state is compared by content: who states what, because of what. When it was said is no difference.

    Example: converge diff job-1f2e3d4c what-if
    """
    form = form_of(as_json=as_json, mermaid=mermaid, html=html)
    one, two = asked(store, job), asked(other_store or store, other)
    show_answer(one.diff(two), form, {"store": store}, everything=everything, calls=calls)


def cost(
    job: JobId,
    fact: FactWords = None,
    everything: Everything = False,
    as_json: AsJson = False,
    mermaid: AsMermaid = False,
    html: AsHtml = False,
    store: StoreAddress = DEFAULT_STORE,
) -> None:
    """Show what a job's calls came to: on facts that hold, on facts that fell, on nothing; by agent and by fact.

    Of a FACT: its own part, and all that was paid for what it rests on.

    A call that led to several facts is parted evenly among them.

    Example: converge cost job-1f2e3d4c Risk fire
    """
    form = form_of(as_json=as_json, mermaid=mermaid, html=html)
    explained = asked(store, job)
    told = {"job_id": explained.job_id, "store": store}
    show_answer(explained.price(fact) if fact else explained.costs, form, told, everything=everything)
