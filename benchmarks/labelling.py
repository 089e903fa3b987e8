"""What labelling costs: ten thousand facts with twenty thousand invalidations, then one more. Run it as a script."""

import sys
from pathlib import Path
from statistics import median
from time import perf_counter

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "agents", "stores")]

from converge.fact import Fact  # noqa: E402
from tests.test_labelling_cost import in_dispute, state  # noqa: E402

ROUNDS = 5


def main() -> None:
    at_once, one_more = [], []
    for _ in range(ROUNDS):
        context, facts = in_dispute(10_000, 20_000)
        at_once.append(_seconds(lambda context=context: context.label(0, 20)))
        for round in range(21, 71):
            _mark(context, facts[round * 100], round)
            one_more.append(_seconds(lambda context=context, round=round: context.label(0, round)))
    print(f"10,000 facts, 20,000 invalidations: {median(at_once):.3f} s")
    print(
        f"one more invalidation: {median(one_more) * 1e6:.0f} µs ({median(at_once) / median(one_more):.0f} times less)"
    )


def _mark(context, fact: Fact, round: int) -> None:
    state(context, fact.invalidate("late"), round)


def _seconds(call) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


main()
