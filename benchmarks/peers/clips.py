"""CLIPS by clipspy: two rules over templates, facts loaded as one text by load_facts, which spares a call for each.

Rules match in CLIPS itself (Rete); Python only loads and runs. It keeps no provenance.
"""

__all__ = ["PACKAGES", "TASKS"]

from functools import partial

import clips

from benchmarks.graphs import chain, random_graph, semi_naive
from benchmarks.peers.echo import Timer

PACKAGES = ("clipspy",)
RULES = """
(deftemplate edge (slot a (type INTEGER)) (slot b (type INTEGER)))
(deftemplate path (slot a (type INTEGER)) (slot b (type INTEGER)))
(defrule first (edge (a ?a) (b ?b)) => (assert (path (a ?a) (b ?b))))
(defrule next (path (a ?a) (b ?b)) (edge (a ?b) (b ?c)) => (assert (path (a ?a) (b ?c))))
"""


async def closure(count: int, *, is_random: bool) -> float:
    edges = random_graph(count) if is_random else chain(count)
    facts = "\n".join(f"(edge (a {a}) (b {b}))" for a, b in edges)
    environment = clips.Environment()
    for construct in RULES.strip().splitlines():
        environment.build(construct)
    environment.reset()
    with Timer() as timer:
        environment.load_facts(facts)
        environment.run()
    assert sum(1 for _ in environment.find_template("path").facts()) == len(semi_naive(edges))
    return timer.seconds


TASKS = {"closure, chain": partial(closure, is_random=False), "closure, random": partial(closure, is_random=True)}
