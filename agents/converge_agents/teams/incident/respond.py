"""After the ranking: a summary in a model's words, and a mitigation that whoever is on call decides on.

The model words what was ranked; it neither ranks nor acts. The mitigation rests on the summary, and that on the
ranking: when a sensor turns out to be broken, what was approved because of it falls, and returns if it was right.
"""

__all__ = ["mitigate", "scripted", "summariser"]

import json
from collections.abc import Iterator, Mapping
from typing import Any

from converge import Agent, Assertion, Fact, View, agent, human
from converge_agents.conversation import Asks
from converge_agents.llm import LLMAgent
from converge_agents.price import Price
from converge_agents.scripted import ScriptedModel
from converge_agents.teams.incident.kinds import Incident, IncidentSummary, Mitigation, RankedCause

SHOWN = 3  # causes of the ranking that a summary is made from


class Wording(Fact):
    """What the model answers with: two sentences for whoever is woken up by the incident."""

    text: str


def summariser(model: Asks) -> Agent:
    """Return the agent that has a model sum up the incident, once the ranking is complete."""
    return LLMAgent(
        "summarise",
        model,
        _prompt,
        [Incident, RankedCause],
        IncidentSummary,
        when="settled",
        accepts=lambda view: bool(view.live(RankedCause)),
        system="Say in two sentences what is probably broken, for somebody who was woken up by it.",
        answers=Wording,
        conclude=_summary,
    )


@agent(reads=IncidentSummary, writes=Mitigation, gate=human("on-call"))
def mitigate(view: View) -> Iterator[Assertion]:
    """Propose to take the likeliest cause out of service; whoever is on call decides."""
    for summary in view.new(IncidentSummary):
        yield Mitigation(summary.target, summary.node, f"take {summary.node} out of service").because(summary)


def scripted() -> ScriptedModel:
    """Return a model that words any ranking, through the real client, and costs nothing."""
    return ScriptedModel(_worded, price=Price(0, 0))


def _prompt(view: View) -> str:
    noticed = [f"{one.target}: {one.statistic} of {one.metric}" for one in view.live(Incident)]
    return json.dumps({"noticed at": noticed, "likeliest causes": [one.node for one in _likeliest(view)]})


def _summary(wording: Wording, view: View) -> Iterator[Assertion]:
    for incident in view.live(Incident):
        causes = [one for one in _likeliest(view) if one.target == incident.target]
        if causes:
            summary = IncidentSummary(incident.target, causes[0].node, wording.text)
            yield summary.because(incident, *causes)


def _likeliest(view: View) -> list[RankedCause]:
    ranked = sorted(view.live(RankedCause), key=lambda one: (one.target, one.rank))
    return [one for one in ranked if one.rank <= SHOWN]


def _worded(request: Mapping[str, Any]) -> Mapping[str, Any]:
    shown = json.loads(request["messages"][-1]["content"])
    first, *others = shown["likeliest causes"]
    beside = f" If it is not, look at {' and '.join(others)}." if others else ""
    return {"items": [{"text": f"{first} is probably what is broken.{beside}"}]}
