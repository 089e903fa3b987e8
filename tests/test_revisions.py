"""Revisions: a new fact in the place of an old one, and a marker on the old one, both on the same evidence.

The jobs here grade risks: each Risk has one severity at a time, and reports change what that is thought to be.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converge import Fact, Invalidation, Outcome, Revision, Stop, StopReason, View, agent, id_of, run
from converge.errors import EvidenceInvalid, ForeignPremise, UndeclaredWrite
from converge.trace import Warned
from tests.jobs import Play, digests, go_on, play

EXACT = ["lockstep", "frontier"]


class Risk(Fact, key="name"):
    name: str
    severity: int
    owner: str = "nobody"


class Report(Fact):
    about: str
    severity: int


class Note(Fact):
    text: str


FIRE = Risk("fire", 1)
SMOKE, FLAMES = Report("fire", 3), Report("fire", 5)


@agent(reads=[Risk, Report], writes=Risk, invalidates=Risk)
def regrade(view: View) -> Iterator[Revision]:
    """Raise a risk to what a report says, whichever of the two comes later."""
    for report in view.all(Report):
        for risk in view.all(Risk, report.about):
            if risk.severity < report.severity and (risk in view.new(Risk) or report in view.new(Report)):
                yield risk.revise(severity=report.severity).because(report)


def lived(agents: list[Any], *batches: Sequence[Fact], schedule: str = "frontier") -> Play:
    """Run a job on the first facts and resume it with each later batch, as another process would."""
    return reduce(go_on, batches[1:], play(agents, batches[0], schedule=schedule))


def stop(job: Play) -> Stop:
    assert job.stop is not None
    return job.stop


def emitting(*emitted: Any, **options: Any) -> Outcome:
    """Run one agent that knows the fire and the smoke and emits this."""

    @agent(**{"reads": [Risk, Report], "writes": Risk, "invalidates": Risk, **options})
    def hasty(view: View) -> tuple[Any, ...]:
        return emitted

    return run([hasty], "grade the risks", [FIRE, SMOKE])


# --- what a revision is ----------------------------------------------------------------------------------------------


def test_a_revision_is_the_new_fact_and_the_marker_on_the_old_one():
    """Both are ordinary facts, and nothing was edited."""
    outcome = run([regrade], "grade the risks", [FIRE, SMOKE])
    (marker,) = outcome.context.live(Invalidation)
    assert outcome.converged
    assert outcome.context.live(Risk) == (Risk("fire", 3),)
    assert outcome.context.dead(Risk) == (FIRE,)
    assert marker.target == id_of(FIRE)


def test_both_rest_on_the_same_evidence():
    """The report is the reason for the one as for the other; the old fact is the reason for neither."""
    outcome = run([regrade], "grade the risks", [FIRE, SMOKE])
    (marker,) = outcome.context.live(Invalidation)
    assert outcome.why(Risk("fire", 3)).premises() == (SMOKE,)
    assert outcome.why(marker).premises() == (SMOKE,)


def test_a_revision_keeps_what_it_does_not_change():
    """The other fields stay as they were."""
    outcome = run([regrade], "grade the risks", [Risk("fire", 1, owner="porter"), SMOKE])
    assert outcome.context.live(Risk) == (Risk("fire", 3, owner="porter"),)


def test_a_revision_is_returned_like_any_fact():
    """Alone, without a list around it."""

    @agent(reads=[Risk, Report], writes=Risk, invalidates=Risk)
    def once(view: View) -> Revision | None:
        risk = view.all(Risk)[0]
        return risk.revise(severity=3).because(*view.all(Report)) if risk == FIRE and view.new(Report) else None

    assert run([once], "grade the risks", [FIRE, SMOKE]).context.live(Risk) == (Risk("fire", 3),)


def test_what_rested_on_the_old_fact_falls_with_it():
    """And what follows from the new one is concluded."""

    @agent(reads=Risk, writes=Note)
    def remark(view: View):
        return [Note(f"{risk.name} {risk.severity}").because(risk) for risk in view.new(Risk)]

    outcome = run([regrade, remark], "grade the risks", [FIRE, SMOKE])
    assert outcome.context.live(Note) == (Note("fire 3"),)
    assert outcome.context.dead(Note) == (Note("fire 1"),)


# --- what becomes of it ----------------------------------------------------------------------------------------------


def withdrawn(fact: Fact) -> Fact:
    return fact.invalidate("withdrawn")


@pytest.mark.parametrize("schedule", EXACT)
def test_when_the_evidence_falls_the_old_fact_is_back(schedule: str):
    """Nobody is asked: marker and revision fall together."""
    job = lived([regrade], [FIRE, SMOKE], [withdrawn(SMOKE)], schedule=schedule)
    assert job.view.live(Risk) == (FIRE,)
    assert job.view.live(Invalidation) == (withdrawn(SMOKE),)


@pytest.mark.parametrize("schedule", EXACT)
def test_when_the_evidence_returns_so_does_the_revision(schedule: str):
    """As if nothing had been withdrawn."""
    job = lived([regrade], [FIRE, SMOKE], [withdrawn(SMOKE)], [withdrawn(withdrawn(SMOKE))], schedule=schedule)
    assert job.view.live(Risk) == (Risk("fire", 3),)


def test_a_revision_may_be_revised():
    """Of a chain the last one holds, and each link hangs on its own evidence."""
    chain: list[list[Fact]] = [[FIRE, SMOKE], [FLAMES], [withdrawn(FLAMES)], [withdrawn(SMOKE)]]
    severities = [[risk.severity for risk in lived([regrade], *chain[:n]).view.live(Risk)] for n in range(1, 5)]
    assert severities == [[3], [5], [3], [1]]


def test_a_link_that_falls_out_of_a_chain_leaves_the_rest_standing():
    """The last revision rests on its own report, whatever it revised."""
    job = lived([regrade], [FIRE, SMOKE], [FLAMES], [withdrawn(SMOKE)])
    assert job.view.live(Risk) == (Risk("fire", 5),)


@pytest.mark.parametrize("schedule", [*EXACT, "stream"])
def test_a_chain_is_the_same_however_it_came_about(schedule: str):
    """All at once or report by report, under any schedule: the same risks hold."""
    at_once = lived([regrade], [FIRE, SMOKE, FLAMES], schedule=schedule)
    one_by_one = lived([regrade], [FIRE], [FLAMES], [SMOKE], schedule=schedule)
    assert at_once.view.live(Risk) == one_by_one.view.live(Risk) == (Risk("fire", 5),)


reports = st.lists(st.builds(Report, st.sampled_from(["fire", "flood"]), st.integers(1, 4)), max_size=4, unique=True)


@given(reports, st.data(), st.sampled_from(EXACT))
@settings(max_examples=40)
def test_reports_that_come_and_go_leave_the_grades_of_those_that_stand(facts, data, schedule):
    """Late or withdrawn: the live digest is that of knowing it all from the start."""
    risks = [FIRE, Risk("flood", 2)]
    cut = data.draw(st.integers(0, len(facts)))
    markers = [withdrawn(report) for report in facts if data.draw(st.booleans())]
    job = play([regrade], [*risks, *facts[:cut]], schedule=schedule)
    job = go_on(go_on(job, facts[cut:]), markers)
    scratch = play([regrade], [*risks, *facts, *markers], schedule=schedule)
    for risk in risks:
        standing = [r.severity for r in facts if r.about == risk.name and withdrawn(r) not in markers]
        live = [other.severity for other in job.view.live(Risk, risk.name)]
        assert live == [max([risk.severity, *standing])]
        assert live == [other.severity for other in scratch.view.live(Risk, risk.name)]


@given(reports)
@settings(max_examples=40)
def test_exact_schedules_agree_on_revisions(facts):
    """Facts, supports, rounds and labels."""
    risks: list[Fact] = [FIRE, Risk("flood", 2)]
    one, other = (play([regrade], risks + facts, schedule=schedule) for schedule in EXACT)
    assert (digests(one.view), one.rounds) == (digests(other.view), other.rounds)


# --- what it must say ------------------------------------------------------------------------------------------------


def error_of(outcome: Outcome) -> BaseException:
    assert outcome.stop.reason is StopReason.AGENT_FAILED
    assert outcome.context.live(Risk) == (FIRE,)  # nothing of a failed activation counts
    return outcome.errors["hasty"]


def test_a_revision_without_a_reason_is_refused():
    """What takes another fact's place must say why."""
    error = error_of(emitting(FIRE.revise(severity=3)))
    assert isinstance(error, EvidenceInvalid)
    assert "an invalidation or a revision must name its reason: add .because(...)" in str(error)


def test_what_is_revised_cannot_be_the_reason():
    """It would make itself fall and stand at once."""
    error = error_of(emitting(FIRE.revise(severity=3).because(FIRE, SMOKE)))
    assert isinstance(error, EvidenceInvalid)
    assert "what an invalidation or a revision is about cannot be its reason: cite what speaks against it" in str(error)


def test_what_is_revised_must_have_been_in_the_view():
    """Nobody revises what they have not seen."""
    error = error_of(emitting(Risk("flood", 1).revise(severity=3).because(SMOKE)))
    assert isinstance(error, EvidenceInvalid)
    assert "is not in the view it read" in str(error)


def test_revising_is_declared_as_invalidating():
    """An agent that may write risks may not mark any without saying so; the remedy is named."""
    error = error_of(emitting(FIRE.revise(severity=3).because(SMOKE), invalidates=()))
    assert isinstance(error, UndeclaredWrite)
    assert str(error) == "agent hasty invalidates Risk without declaring it: add Risk to its invalidates="


def test_revising_is_declared_as_writing():
    """One that may mark risks may not state any."""
    error = error_of(emitting(FIRE.revise(severity=3).because(SMOKE), writes=Note))
    assert isinstance(error, UndeclaredWrite)
    assert str(error) == "agent hasty emits Risk without declaring it: add Risk to its writes="


@pytest.mark.parametrize(
    ("revise", "said"),
    [
        (lambda: FIRE.revise(name="flood"), "a revision is about the same thing: Risk's key name must stay"),
        (lambda: FIRE.revise(severity=1), "the revision changes nothing of Risk"),
        (FIRE.revise, "the revision changes nothing of Risk"),
    ],
    ids=["another key", "the same value", "no value"],
)
def test_a_revision_keeps_the_key_and_changes_something(revise: Callable[[], object], said: str):
    """Another key is another subject, which is no revision; it is said where it is written."""
    with pytest.raises(ValueError, match=said):
        revise()


@pytest.mark.parametrize("changes", [{"severity": "high"}, {"colour": "red"}])
def test_a_revision_is_validated_like_any_fact(changes: dict[str, Any]):
    """By the kind's own types and fields."""
    with pytest.raises(ValueError, match=next(iter(changes))):
        FIRE.revise(**changes)


def test_the_reason_of_a_revision_is_a_fact():
    """As with any because(...)."""
    with pytest.raises(TypeError, match="because"):
        FIRE.revise(severity=3).because()
    with pytest.raises(TypeError, match="takes facts"):
        FIRE.revise(severity=3).because("smoke")  # type: ignore[arg-type]


def test_a_revision_is_no_premise():
    """Whoever stands outside states the new fact, and the marker on the old one."""
    with pytest.raises(ForeignPremise, match="not a Revision"):
        run([regrade], "grade the risks", [FIRE, FIRE.revise(severity=3).because(SMOKE)])  # type: ignore[list-item]


def test_to_rest_on_what_is_revised_indirectly_is_warned_about():
    """The note rests on the risk, so the revision undermines itself; the path is named, and all of it is disputed."""

    @agent(reads=Risk, writes=Note)
    def remark(view: View):
        return [Note("it is small").because(risk) for risk in view.new(Risk) if risk.severity == 1]

    @agent(reads=[Risk, Note], writes=Risk, invalidates=Risk)
    def contradict(view: View):
        for note in view.new(Note):
            yield from (r.revise(severity=3).because(note) for r in view.all(Risk, "fire") if r.severity == 1)

    outcome = run([remark, contradict], "grade the risks", [FIRE])
    (warning,) = outcome.warnings
    assert warning.startswith("agent contradict invalidates what its own reason rests on")
    assert warning.endswith(f"{id_of(FIRE)} -> {id_of(Note('it is small'))}")
    assert {FIRE, Risk("fire", 3), Note("it is small")} < set(outcome.disputed)


# --- two revisions on the same evidence ------------------------------------------------------------------------------


def unstable(job: Play) -> list[Warned]:
    return [event for event in job.machine.trace if isinstance(event, Warned) and event.text.startswith("is unstable")]


def grader(name: str, severity: Callable[[View], int]) -> Any:
    """Return an agent that revises the fire on the smoke, to whatever it thinks at the time."""

    @agent(reads=[Risk, Report, Note], writes=Risk, invalidates=Risk, name=name)
    def grade(view: View):
        thought = severity(view)
        for smoke in view.all(Report):
            if FIRE in view.all(Risk):
                yield FIRE.revise(severity=thought).because(smoke)

    return grade


CAUTIOUS, CALM = grader("cautious", lambda view: 4), grader("calm", lambda view: 2)


@pytest.mark.parametrize("schedule", EXACT)
def test_two_agents_that_revise_differently_contest_each_other(schedule: str):
    """Both stay, and the stop says about which key, what they say and who says it."""
    job = lived([CAUTIOUS, CALM], [FIRE, SMOKE], schedule=schedule)
    assert stop(job).reason is StopReason.CONTESTED
    assert set(job.view.live(Risk)) == {Risk("fire", 4), Risk("fire", 2)}
    (detail,) = stop(job).detail
    assert detail.startswith("Risk 'fire' has 2 live facts: ")
    assert f"{Risk('fire', 4)!r} (by cautious)" in detail
    assert f"{Risk('fire', 2)!r} (by calm)" in detail


def test_two_agents_that_differ_are_not_unstable():
    """Each keeps to what it said."""
    assert not unstable(lived([CAUTIOUS, CALM], [FIRE, SMOKE], [Note("look again")]))


@pytest.mark.parametrize("schedule", EXACT)
def test_invalidating_one_of_them_settles_it(schedule: str):
    """The other one holds, and the job converges."""
    job = lived([CAUTIOUS, CALM], [FIRE, SMOKE], [withdrawn(Risk("fire", 2))], schedule=schedule)
    assert stop(job).reason is StopReason.FIXED_POINT
    assert job.view.live(Risk) == (Risk("fire", 4),)


def moody(*thoughts: int) -> Any:
    """Return an agent that thinks otherwise each time it is asked."""
    waiting = iter(thoughts)
    return grader("moody", lambda view: next(waiting))


@pytest.mark.parametrize("schedule", EXACT)
def test_an_agent_that_answers_otherwise_the_second_time_contests_itself(schedule: str):
    """Nothing it said is lost, and the last word is not the better one."""
    job = lived([moody(4, 4, 2, 2)], [FIRE, SMOKE], [Note("look again")], schedule=schedule)
    assert stop(job).reason is StopReason.CONTESTED
    assert set(job.view.live(Risk)) == {Risk("fire", 4), Risk("fire", 2)}
    (detail,) = stop(job).detail
    assert detail.count("(by moody)") == 2


def test_such_an_agent_is_named_as_unstable():
    """By its name, once, and with what it said this time."""
    job = lived([moody(4, 4, 2, 2, 3, 3)], [FIRE, SMOKE], [Note("look again")], [Note("and again")])
    (warning,) = unstable(job)
    assert warning.agent == "moody"
    assert id_of(Risk("fire", 2)) in warning.text


def test_revising_in_two_ways_at_once_is_unstable_too():
    """One activation, one reason, two answers."""

    @agent(reads=[Risk, Report], writes=Risk, invalidates=Risk)
    def torn(view: View):
        for smoke in view.new(Report):
            yield FIRE.revise(severity=2).because(smoke)
            yield FIRE.revise(severity=4).because(smoke)

    outcome = run([torn], "grade the risks", [FIRE, SMOKE])
    assert outcome.stop.reason is StopReason.CONTESTED
    (warning,) = outcome.warnings
    assert warning.startswith("agent torn is unstable")


def test_settling_an_unstable_agents_contest_is_an_invalidation_too():
    """Whoever stands outside says which answer does not hold."""
    job = lived([moody(4, 4, 2, 2, 4)], [FIRE, SMOKE], [Note("look again")], [withdrawn(Risk("fire", 2))])
    assert stop(job).reason is StopReason.FIXED_POINT
    assert job.view.live(Risk) == (Risk("fire", 4),)


class Part(Fact, key="whole", policy="many"):
    whole: str
    name: str


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        (Note("smoke and flames"), [{"text": "smoke"}, {"text": "flames"}]),
        (Part("house", "roof and cellar"), [{"name": "roof"}, {"name": "cellar"}]),
    ],
    ids=["no key", "many"],
)
def test_one_fact_may_be_revised_to_several_where_several_may_hold(whole: Fact, parts: list[dict[str, str]]):
    """To take a note apart is no mood: nothing is contested, and nobody is named."""
    kind = type(whole)

    @agent(reads=[kind, Report], writes=kind, invalidates=kind)
    def take_apart(view: View):
        for report in view.new(Report):
            yield from (whole.revise(**part).because(report) for part in parts)

    outcome = run([take_apart], "grade the risks", [whole, SMOKE])
    assert outcome.converged
    assert len(outcome.context.live(kind)) == 2
    assert outcome.warnings == ()
