"""One fact: why it holds, or why not; what became of it, and what it cost."""

__all__ = ["absence_page", "fact_page"]

from converge.explain.absence import Absence
from converge.explain.content import content_of
from converge.explain.explanation import Explanation
from converge.fact import Fact, id_of, kind_of
from converge.inspector.frame import page
from converge.inspector.links import Links
from converge.inspector.markup import Element, Node, tag
from converge.inspector.reading import Reading
from converge.inspector.tree import branches, tree
from converge.inspector.words import badge, clipped_fact, counted, fields, section


def fact_page(links: Links, reading: Reading, fact: Fact) -> str:
    """Return the page of a fact."""
    explained, label = reading.explained, reading.explained.label(fact)
    to = links, reading.job_id
    parts: list[Node] = []
    proof = explained.why(fact) if label == "live" else None
    if proof is not None:
        parts += [_why(links, reading, proof), _calls(proof)]
    else:
        parts.append(
            section("Why does it not hold?", branches(explained.why_not(fact).outline(), to=to), name="why-not")
        )
    parts.append(section("What became of it", branches(explained.history(fact).outline(), to=to), name="history"))
    parts.append(_cost(links, reading, fact))
    heading = tag("h1", tag("b", kind_of(fact).label, class_="kind"), " ", badge(label))
    whole = tag("div", fields(content_of(fact)), class_="whole")
    name = tag("p", tag("code", id_of(fact)), class_="dim")
    title = f"{kind_of(fact).label} {clipped_fact(fact)}"[:120]
    trail = ((reading.job_id, links.job(reading.job_id)),)
    return page(links, title, heading, name, whole, *parts, trail=trail)


def _cost(links: Links, reading: Reading, fact: Fact) -> Element:
    if not reading.explained.costs.spent.calls:  # to look for calls in a proof of very many steps takes long
        return section("Cost", tag("p", "Nothing was asked in this job."), name="cost")
    price = reading.explained.price(fact)
    total = tag("p", tag("span", str(price.total), class_="money"), ", all that it rests on included", class_="total")
    return section("Cost", total, branches(price.outline(), to=(links, reading.job_id)), name="cost")


def _why(links: Links, reading: Reading, proof: Explanation) -> Element:
    note = f"stated by {proof.agent} in round {proof.round}; this is the smallest proof"
    address = links.fact(reading.job_id, id_of(proof.fact), "graph")
    drawing = tag(
        "div",
        tag(
            "div",
            class_="canvas",
            tabindex=0,
            role="group",
            aria_label="What it rests on, as a graph; the same as the tree",
        ),
        tag(
            "aside",
            tag("p", "Choose a box to see what it says, and what a model was asked and answered for it.", class_="dim"),
            class_="told",
            aria_live="polite",
        ),
        class_="graph",
        data_graph=address,
    )
    steps = branches(proof.outline(), to=(links, reading.job_id))
    if not proof.because:
        return section("Why does it hold?", tag("p", "It was given from outside."), steps, name="why")
    return section("Why does it hold?", drawing, tag("h3", "The same as a tree"), steps, name="why", note=note)


def _calls(proof: Explanation) -> Node:
    """Return what models were asked and answered for this very step."""
    if not proof.calls:
        return None
    shown = []
    for call in proof.calls:
        asked = [
            tag("div", tag("h4", str(one.get("role"))), tag("pre", str(one.get("content")), tabindex=0))
            for one in call.prompt
        ]
        told = tag("div", tag("h4", "answer"), tag("pre", call.text or str(call.answer), tabindex=0))
        refused = " (refused, and asked again)" if call.refused else ""
        tokens = f" · {counted(call.tokens, 'token')}" if call.tokens else ""
        head = tag("summary", tag("b", call.model or call.question.name), f"{tokens}{refused}")
        shown.append(tag("details", head, *asked, told, open=True, class_="call"))
    return section("What was asked and answered", *shown, name="calls")


def absence_page(links: Links, reading: Reading, asked: str, absence: Absence | str) -> str:
    """Return the page that says why there is no such fact; or, as text, why that cannot be answered."""
    said = (
        tag("p", absence, class_="notice")
        if isinstance(absence, str)
        else tree(absence.outline(), to=(links, reading.job_id))
    )
    trail = ((reading.job_id, links.job(reading.job_id)),)
    return page(links, f"Why not {asked}", tag("h1", f"Why is there no {asked}?"), said, trail=trail)
