"""What people are asked in a job, and whether a decision is an answer to it."""

__all__ = ["Asked", "asked", "check_decision", "refusals"]

from typing import Any, NamedTuple

from converge.errors import DecisionInvalid, FactInvalid, FactTooLarge, RequestUnknown
from converge.fact import Fact, id_of, kind_of
from converge.proposal import Decision, Proposal, Request, Verdict, proposed_label, refined
from converge.view import View


class Asked(NamedTuple):
    """A request that nobody has decided on: its id, who is asked, and the proposal it is about."""

    id: str
    role: str
    proposal: Fact

    @property
    def fact(self) -> Any:
        """What is proposed: a fact, or its JSON data where the job is read without its kinds."""
        return self.proposal.fact if isinstance(self.proposal, Proposal) else self._content["fact"]

    @property
    def by(self) -> str:
        """The agent that proposes it."""
        return str(self.proposal.by if isinstance(self.proposal, Proposal) else self._content["by"])

    @property
    def confidence(self) -> float | None:
        """How sure it is, if it says."""
        known = self.proposal.confidence if isinstance(self.proposal, Proposal) else self._content["confidence"]
        return None if known is None else float(known)

    def __str__(self) -> str:
        fact = f"{self.fact!r}"
        kind = "" if isinstance(self.fact, Fact) else f"{proposed_label(kind_of(self.proposal))} "
        return f"{self.role} is asked about {kind}{fact:.200} ({self.id})"

    @property
    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = self.proposal.content  # type: ignore[attr-defined]  # it was read as plain JSON
        return content


def asked(view: View) -> tuple[Asked, ...]:
    """Return what is asked, not decided and not refused meanwhile, in id order; `view` is unrestricted."""
    if not (requests := view.live(Request)):  # as mostly
        return ()
    refused, found = refusals(view), []
    for request in requests:
        proposal = view.known(request.proposal)
        is_open = request.proposal not in refused and not view.live(Decision, id_of(request))
        if proposal is not None and is_open:
            found.append(Asked(id_of(request), request.role, proposal))
    return tuple(found)


def refusals(view: View) -> dict[str, Verdict]:
    """Return the live verdicts that refuse a proposal, by its id."""
    return {verdict.proposal: verdict for verdict in view.live(Verdict) if not verdict.passed}


def check_decision(view: View, decision: Decision, job_id: str, *, ahead: bool = False) -> None:
    """Refuse a decision that is no answer; `ahead`: it may come before what it is about.

    Raises DecisionInvalid, or RequestUnknown.
    """
    if not decision.by.strip():
        raise DecisionInvalid("it does not say who decides: name somebody in by=")
    if bool(decision.changes) is not (decision.choice == "refine"):
        wanted = "a refinement says what changes" if decision.choice == "refine" else "only a refinement changes a fact"
        raise DecisionInvalid(f"{wanted}, as in changes={{'severity': 2}}")
    request = view.known(decision.request)
    if not isinstance(request, Request):
        if ahead:
            return
        raise RequestUnknown(job_id, decision.request, [one.id for one in asked(view)])
    if problem := _misfit(view.known(request.proposal), decision):
        raise DecisionInvalid(f"with its changes {problem}")


def _misfit(proposal: Fact | None, decision: Decision) -> str:
    """Say why what is proposed would be no fact with the changes; of one read as plain JSON its fields are known."""
    if isinstance(proposal, Proposal):
        try:
            refined(proposal.fact, [decision])
        except (FactInvalid, FactTooLarge) as error:
            return str(error)
    elif proposal is not None:
        fields = proposal.content["fact"]  # type: ignore[attr-defined]
        problems = [(name, "there is no such field") for name in decision.changes if name not in fields]
        return str(FactInvalid(proposed_label(kind_of(proposal)), problems)) if problems else ""
    return ""
