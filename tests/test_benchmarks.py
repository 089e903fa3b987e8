"""The benchmarks' own bookkeeping; nothing is timed here."""

from pathlib import Path

import pytest

from benchmarks.case import Case, Figures, Measured, Setting, Variant
from benchmarks.cases import ALL
from benchmarks.harness import Noise, measured
from benchmarks.peer import PEERS
from benchmarks.targets import TARGETS, Reached, Target

NOWHERE = Path("nowhere")


def setting(*, quick: bool = False, patience: float = 1e9) -> Setting:
    return Setting(quick, 3, patience, NOWHERE, NOWHERE, {})


def plans(*, quick: bool):
    return [plan for cases in ALL.values() for plan in cases(setting(quick=quick))]


class LookedUp(dict[str, Measured]):
    """Results of a run that measured nothing; it knows what was looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.keys_asked: set[str] = set()

    def __contains__(self, key: object) -> bool:
        self.keys_asked.add(str(key))
        return False


@pytest.mark.parametrize("quick", [True, False])
def test_each_case_has_a_key_of_its_own_and_peers_that_there_are(quick):
    keys = [plan.key for plan in plans(quick=quick)]
    assert len(keys) == len(set(keys))
    assert {peer for plan in plans(quick=quick) for peer in plan.peers} <= set(PEERS)


def test_every_target_is_about_a_case_of_a_full_run():
    results = LookedUp()
    assert {target.figure(results) for target in TARGETS} == {None}
    assert results.keys_asked <= {plan.key for plan in plans(quick=False)}


def test_a_bound_that_nobody_set_is_neither_reached_nor_missed():
    def figure(results) -> float:
        return 3.0

    assert Target("d", "told", figure).reached(3.0) is Reached.TOLD
    assert Target("d", "to be stretched", figure, stretch=1).reached(3.0) is Reached.NO
    assert Target("d", "both", figure, "≤", 4, 2).reached(3.0) is Reached.YES


def test_ratios_and_shares_are_taken_round_by_round():
    samples: dict[str, list[Figures | None]] = {
        "ours": [{"ms": 2.0}, {"ms": 30.0}, {"ms": 8.0}],
        "theirs": [{"ms": 1.0}, None, {"ms": 2.0}],
    }
    result = Measured("", "ms", "theirs", samples, {}, {})
    assert result.ratio("ours", "theirs") == 3.0
    assert result.share("ours", "theirs", "ms") == 62.5
    assert result.ratio("ours", "nobody") is None


@pytest.mark.asyncio
async def test_who_fails_is_named_and_the_others_go_on():
    async def fail() -> float:
        raise ValueError("no room")

    async def work() -> float:
        return 1.0

    case = Case("", "ms", [Variant("fails", fail), Variant("works", work)])
    result = await measured(case, setting(), Noise())
    assert result.failed == {"fails": "ValueError: no room"}
    assert result.samples == {"fails": [None] * 3, "works": [{"ms": 1.0}] * 3}


@pytest.mark.asyncio
async def test_a_variant_without_patience_has_one_round_that_counts():
    numbers = iter(range(9))

    async def work() -> float:
        return next(numbers)

    result = await measured(Case("", "ms", [Variant("slow", work)]), setting(patience=0.0), Noise())
    assert result.samples == {"slow": [{"ms": 1}, None, None]}
