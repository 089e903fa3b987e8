"""The models of the team: they read what is given in words and suggest; rules, a sceptic and people decide.

The figures stay out of their hands. A model may put a lead on the table, whose country and mode are copied from
the lead and whose estimates have to be among the facts given: no estimate, no option. It may name a risk in what
somebody observed; what is certain, or what it is not sure of itself, is refused. Which plan is best is computed from
all that was let in, exactly as without a model.

Each is asked about one thing at a time, and about nothing that can fall: not about options, which a law may forbid,
but about the leads, observations and proposals behind them. So a new law asks nobody anything.
"""

__all__ = ["is_estimated", "is_uncertain", "suggesters"]

from collections.abc import Iterator

from converge import Agent, Fact, Opinion, Proposal, View, id_of, judged_by, min_confidence
from converge_agents.answers import references
from converge_agents.conversation import Asks
from converge_agents.llm import LLMAgent
from converge_agents.prompt import listed
from converge_agents.teams.strategy.kinds import (
    Amount,
    Criterion,
    Estimate,
    Lead,
    Observation,
    Option,
    PerMille,
    Risk,
)

LEAST_CONFIDENCE = 0.5
CERTAIN = 900  # per mille


# What the models answer with.


class Pitch(Fact):
    """Why the lead deserves to be compared with the other options, and a title for it."""

    argument: str
    title: str


class Threat(Fact):
    """A risk in a few words: how probable it is, in per mille, and what it would cost, in thousands of euros."""

    name: str
    probability: PerMille
    impact: Amount


class Judgement(Fact):
    """Whether the option may stay on the table, and the strongest reason for that."""

    reason: str
    passed: bool


def suggesters(model: Asks) -> Iterator[Agent]:
    """Return the agents that ask a model."""
    yield LLMAgent(
        "proposer",
        model,
        prompt=PROPOSE,
        each=Lead,
        reads=[Lead, Criterion, Estimate],
        answers=Pitch,
        conclude=_option,
        writes=Option,
        gate=[is_estimated, judged_by("sceptic")],
    )
    yield LLMAgent(
        "sceptic",
        model,
        prompt=_doubt,
        each=Proposal[Option],
        reads=[Proposal[Option], Lead],
        answers=Judgement,
        conclude=_opinion,
        writes=Opinion,
    )
    yield LLMAgent(
        "risk_analyst",
        model,
        prompt=ANALYSE,
        each=Observation,
        reads=Observation,
        answers=Threat,
        conclude=_risk,
        writes=Risk,
        gate=[min_confidence(LEAST_CONFIDENCE), is_uncertain],
    )


# What is asked.

PROPOSE = """Is there an option in the lead {item.name}?

{item}

It is a way to enter a market that nobody has put on the table yet. If it deserves to be compared with the others, argue
why in a sentence or two, from what the lead says alone, and give it a title such as "Poland with a subsidiary of our
own". Its figures are compared elsewhere. If there is nothing in it, answer with an empty list."""

ANALYSE = """What may go wrong with {item.option}, going by the {item.source}?

{item}

Name each risk that this points to, in a few words that begin with a small letter, with its probability, its cost, and
how sure you are that it is a risk at all. Name none that it does not point to: an empty list is a good answer."""

DOUBT = """What speaks against {name}?

{facts}

Somebody proposes to put this option on the table because of this lead. You are the sceptic: look in the lead for a
reason why it must not be compared with the others at all, such as a partner who is not free. That it may turn out to be
the worse choice is no such reason. Give one judgement, with its reason in a short sentence."""


def _doubt(proposal: Proposal[Option], view: View) -> str:
    shown = references([proposal, *view.all(Lead, proposal.fact.name)])
    return DOUBT.format(name=proposal.fact.name, facts=listed(shown))


# What becomes of an answer.


def _option(pitch: Pitch, lead: Lead, view: View) -> Option:
    return Option(name=lead.name, country=lead.country, region=lead.region, mode=lead.mode, title=pitch.title)


def _opinion(judgement: Judgement, proposal: Proposal[Option], view: View) -> Opinion:
    return Opinion(id_of(proposal), "sceptic", judgement.passed, judgement.reason)


def _risk(threat: Threat, observation: Observation, view: View) -> Risk:
    """Name the source: two who report the same do not contest each other."""
    name = f"{threat.name}, says the {observation.source}"
    return Risk(option=observation.option, name=name, probability=threat.probability, impact=threat.impact)


# The steps of the gates.


def is_estimated(option: Option, view: View) -> str | None:
    """Refuse an option without an estimate for each criterion that takes them: nobody makes up a figure."""
    known = {estimate.criterion for estimate in view.live(Estimate, option.name)}
    asked = (criterion.name for criterion in view.live(Criterion) if criterion.group != "risk")
    missing = sorted(set(asked) - known)
    return f"nobody has estimated its {' and '.join(missing)}" if missing else None


def is_uncertain(risk: Risk) -> str | None:
    """Refuse what is all but certain: it is counted with the estimates, or it would be counted twice."""
    return "what is certain is a cost and no risk" if risk.probability >= CERTAIN else None
