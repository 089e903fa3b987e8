"""A stored job that can be asked why; its agents are not needed for that, and make some answers better."""

__all__ = ["explained"]

from functools import partial

from converge.explain.explained import Explained
from converge.ports import Store
from converge.reading import read
from converge.restore import restore
from converge.wiring import Wiring


async def explained(store: Store, job_id: str, cycle: int | None = None, wiring: Wiring | None = None) -> Explained:
    """Return a job of an open store, as it stood when `cycle` was complete; default: as it stands.

    Without `wiring` every fact is read as plain JSON, and only agents that wrote something are known. Raises
    JobUnknown, CycleUnknown or StoredFactInvalid.
    """
    kinds = None if wiring is None else wiring.kinds
    snapshot = await read(await store.load(job_id, cycle), partial(restore, kinds=kinds))
    return Explained(snapshot) if wiring is None else Explained(snapshot, wiring.agents, wiring.kinds)
