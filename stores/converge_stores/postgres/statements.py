"""The statements of the PostgreSQL store: each does one thing whole, guarded by the lease where it must be.

Whoever appends locks the lease's row for as long as the statement takes, and looks at its epoch under that lock: a
snapshot that is older than a take-over must not let anything through.
"""

__all__ = ["Statements", "columns_of"]

from collections.abc import Sequence
from typing import Any

from converge.chain import StoredRow

_COLUMNS = "number, cycle, at, round, facts, stop, epoch, digest, body"
_ROWS = (
    "unnest(%s::bigint[], %s::bigint[], %s::float8[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::text[],"
    " %s::text[])"
)
_LEASE = "epoch, token, host, place, process, started, expires"


class Statements:
    """What is said to the server, for tables in one schema."""

    def __init__(self, schema: str) -> None:
        log, leases, letters = (f"{schema}.{table}" for table in ("log", "leases", "letters"))
        self.take = f"""
INSERT INTO {leases} AS kept (job_id, {_LEASE}) VALUES (%s, 1, %s, %s, %s, %s, %s, %s)
ON CONFLICT (job_id) DO UPDATE SET epoch = kept.epoch + 1, token = excluded.token, host = excluded.host,
    place = excluded.place, process = excluded.process, started = excluded.started, expires = excluded.expires
WHERE kept.token IS NULL OR kept.expires < %s OR kept.token = %s OR kept.token = excluded.token
RETURNING epoch
"""
        self.renew = f"""
UPDATE {leases} AS kept SET expires = %s FROM unnest(%s::text[], %s::bigint[]) AS ours (job_id, epoch)
WHERE kept.job_id = ours.job_id AND kept.epoch = ours.epoch AND kept.token IS NOT NULL
"""
        self.release = f"""
UPDATE {leases} SET token = NULL,
    last_number = coalesce((SELECT max(number) FROM {log} WHERE job_id = %(job)s), 0),
    last_digest = coalesce((SELECT digest FROM {log} WHERE job_id = %(job)s ORDER BY number DESC LIMIT 1), '')
WHERE job_id = %(job)s AND epoch = %(epoch)s
"""
        self.forget = f"""
DELETE FROM {leases} WHERE job_id = %(job)s AND epoch = 1 AND token IS NULL
    AND NOT EXISTS (SELECT FROM {log} WHERE job_id = %(job)s)
"""
        self.holder = f"SELECT {_LEASE} FROM {leases} WHERE job_id = %s AND token IS NOT NULL AND expires >= %s"
        self.anchor = f"SELECT last_number, last_digest FROM {leases} WHERE job_id = %s"
        self.append = f"""
WITH held AS MATERIALIZED (SELECT FROM {leases} WHERE job_id = %s AND epoch = %s FOR SHARE)
INSERT INTO {log} (job_id, {_COLUMNS}) SELECT %s, * FROM {_ROWS} WHERE EXISTS (SELECT FROM held)
RETURNING (SELECT coalesce(max(number), 0) FROM {letters} WHERE job_id = %s)
"""
        self.adopt = f"INSERT INTO {log} (job_id, {_COLUMNS}) SELECT %s, * FROM {_ROWS} RETURNING 0"
        self.head = f"SELECT number, digest FROM {log} WHERE job_id = %s ORDER BY number DESC LIMIT 1"
        self.digest = f"SELECT digest FROM {log} WHERE job_id = %s AND number = %s"
        self.load = f"SELECT number, cycle, at, digest, body FROM {log} WHERE job_id = %s ORDER BY number"
        self.rows = f"SELECT {_COLUMNS} FROM {log} WHERE job_id = %s AND number > %s ORDER BY number"
        self.known = f"SELECT job_id FROM {log} WHERE number = 0 ORDER BY at DESC, job_id LIMIT 100"
        # The objective is read from the header here: one that was edited must not hide the other jobs. With the lease:
        # of a job that ends between two questions it would be said that nobody runs it, and that it has no end.
        self.jobs = f"""
SELECT header.job_id, header.at, last.at, header.body, last.cycle, last.round, last.facts, last.stop, held.{_LEASE}
FROM {log} AS header
JOIN LATERAL (SELECT at, cycle, round, facts, stop FROM {log} WHERE job_id = header.job_id AND cycle IS NOT NULL
              ORDER BY number DESC LIMIT 1) AS last ON true
LEFT JOIN {leases} AS held ON held.job_id = header.job_id AND token IS NOT NULL
WHERE header.number = 0
ORDER BY header.at DESC, header.job_id
"""
        self.lock = f"SELECT FROM {leases} WHERE job_id = %s FOR UPDATE"
        self.removals = tuple(f"DELETE FROM {table} WHERE job_id = %s" for table in (log, letters, leases))
        self.letters = f"SELECT number, at, body FROM {letters} WHERE job_id = %s AND number > %s ORDER BY number"
        self.give = f"""
INSERT INTO {letters} (job_id, number, at, body)
SELECT %(job)s, (SELECT coalesce(max(number), 0) + 1 FROM {letters} WHERE job_id = %(job)s), %(at)s, %(body)s
WHERE EXISTS (SELECT FROM {log} WHERE job_id = %(job)s AND number = 0)
RETURNING number
"""
        self.mentioned = f"SELECT job_id FROM {log} UNION SELECT job_id FROM {leases} WHERE last_number > 0 ORDER BY 1"


def columns_of(rows: Sequence[StoredRow]) -> list[list[Any]]:
    """Return rows as the columns that are sent: one statement, prepared once, takes any number of them."""
    return [list(column) for column in zip(*rows, strict=True)]
