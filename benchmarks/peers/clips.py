"""CLIPS by clipspy: two rules over templates, facts loaded as one text by load_facts, which spares a call for each.

Rules match in CLIPS itself (Rete); Python only loads and runs. It keeps no provenance. What it derives is in CLIPS
then: "read" also has it read into Python, by save_facts to a file and one regular expression. To ask each fact for its
slots, or to have a third rule call Python for each, took 2 to 4 times as long.
"""

__all__ = ["PACKAGES", "TASKS"]

import re
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

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
_PATH = re.compile(r"\(path \(a (\d+)\) \(b (\d+)\)\)")


async def closure(count: int, *, is_random: bool, read: bool = False) -> float:
    edges = random_graph(count) if is_random else chain(count)
    facts = "\n".join(f"(edge (a {a}) (b {b}))" for a, b in edges)
    environment = clips.Environment()
    for construct in RULES.strip().splitlines():
        environment.build(construct)
    environment.reset()
    with Timer() as timer:
        environment.load_facts(facts)
        environment.run()
        paths = paths_in(environment) if read else None
    assert (paths_in(environment) if paths is None else paths) == semi_naive(edges)
    return timer.seconds


def paths_in(environment: clips.Environment) -> set[tuple[int, int]]:
    with TemporaryDirectory(prefix="clips-") as folder:
        file = Path(folder) / "facts"
        environment.save_facts(str(file))
        return {(int(a), int(b)) for a, b in _PATH.findall(file.read_text("ascii"))}


TASKS = {
    "closure, chain": partial(closure, is_random=False),
    "closure, chain, read": partial(closure, is_random=False, read=True),
    "closure, random": partial(closure, is_random=True),
    "closure, random, read": partial(closure, is_random=True, read=True),
}
