"""The statements of the SQLite store: each does one thing whole, guarded by the lease where it must be."""

__all__ = [
    "COLUMNS",
    "FORGET",
    "GIVE",
    "HOLDER",
    "JOBS",
    "MENTIONED",
    "PLACES",
    "RELEASE",
    "RENEW",
    "TAKE",
    "append",
    "values_of",
]

from collections.abc import Iterable
from functools import cache
from itertools import chain
from typing import Any

from converge.chain import StoredRow
from converge.ports import Lease

COLUMNS = "number, cycle, at, round, facts, stop, epoch, digest, body"
PLACES = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LEASE = "epoch, token, host, place, process, started, expires"
# The objective of one job that was edited must not hide the others, as json_extract in the view would.
# Past the view: looking each header up once more takes as long as all the rest.
# With its lease: of a job that ends between two questions it would be said that nobody runs it, and that it has no end.
JOBS = f"""
SELECT header.job_id, header.at, last.at,
       coalesce(CASE WHEN json_valid(header.body) THEN json_extract(header.body, '$.objective') END, ''),
       last.cycle, last.round, last.facts, last.stop, leases.{_LEASE}
FROM log AS header
JOIN log AS last ON last.job_id = header.job_id AND last.number =
    (SELECT number FROM log WHERE job_id = header.job_id AND cycle IS NOT NULL ORDER BY number DESC LIMIT 1)
LEFT JOIN leases ON leases.job_id = header.job_id AND token IS NOT NULL
WHERE header.number = 0
ORDER BY header.at DESC, header.job_id
"""
MENTIONED = "SELECT job_id FROM log UNION SELECT job_id FROM leases WHERE last_number > 0 ORDER BY job_id"
TAKE = """
INSERT INTO leases (job_id, epoch, token, host, place, process, started, expires) VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (job_id) DO UPDATE SET epoch = epoch + 1, token = excluded.token, host = excluded.host,
    place = excluded.place, process = excluded.process, started = excluded.started, expires = excluded.expires
WHERE leases.token IS NULL OR leases.expires < ?8 OR leases.token = ?9
RETURNING epoch
"""
HOLDER = f"SELECT {_LEASE} FROM leases WHERE job_id = ? AND token IS NOT NULL AND expires >= ?"
RENEW = "UPDATE leases SET expires = ? WHERE job_id = ? AND epoch = ? AND token IS NOT NULL"
RELEASE = """
UPDATE leases SET token = NULL, last_number = coalesce((SELECT max(number) FROM log WHERE job_id = ?1), 0),
    last_digest = coalesce((SELECT digest FROM log WHERE job_id = ?1 ORDER BY number DESC LIMIT 1), '')
WHERE job_id = ?1 AND epoch = ?2
"""
FORGET = """
DELETE FROM leases WHERE job_id = ?1 AND epoch = 1 AND token IS NULL
    AND NOT EXISTS (SELECT 1 FROM log WHERE job_id = ?1)
"""
GIVE = """
INSERT INTO letters (job_id, number, at, body)
SELECT ?1, (SELECT coalesce(max(number), 0) + 1 FROM letters WHERE job_id = ?1), ?2, ?3
WHERE EXISTS (SELECT 1 FROM log WHERE job_id = ?1)
RETURNING number
"""


@cache
def append(rows: int) -> str:
    """Return the statement that adds so many rows under a job's latest lease, and tells the last letter's number."""
    # One row, as mostly, is a third faster if it is no table of one.
    source = PLACES.strip("()") if rows == 1 else f"* FROM (VALUES {', '.join([PLACES] * rows)})"
    return f"""
INSERT INTO log (job_id, {COLUMNS}) SELECT {source}
WHERE EXISTS (SELECT 1 FROM leases WHERE job_id = ? AND epoch = ?)
RETURNING (SELECT coalesce(max(letters.number), 0) FROM letters WHERE letters.job_id = log.job_id)
"""


def values_of(lease: Lease, rows: Iterable[StoredRow]) -> tuple[Any, ...]:
    """Return the values that `append` takes."""
    return (*chain.from_iterable((lease.job_id, *row) for row in rows), lease.job_id, lease.epoch)
