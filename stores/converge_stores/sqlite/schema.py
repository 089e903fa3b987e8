"""The tables of a store file, and how files of earlier versions are brought forward.

One table holds what jobs are: row 0 of a job is its header (the root intent), every further row is one cycle, or
captures that could not wait for theirs; all are written once. Beside it stand who runs a job and the letters to it.
The views show the JSON of the rows as facts, supports and captures, for anyone with plain `sqlite3`.
"""

__all__ = ["APPLICATION_ID", "MIGRATIONS", "VERSION"]

import sqlite3
from collections.abc import Callable

from converge.chain import JobHeader, StoredRow, rechained

APPLICATION_ID = 0x436F6E76  # "Conv"

_FIRST = (
    """
CREATE TABLE cycles (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    round INTEGER NOT NULL,
    facts INTEGER NOT NULL,
    stop TEXT,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
) STRICT
""",
)

_SECOND = (
    """
CREATE TABLE log (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    cycle INTEGER,
    at REAL NOT NULL,
    round INTEGER NOT NULL,
    facts INTEGER NOT NULL,
    stop TEXT,
    epoch INTEGER NOT NULL,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
) STRICT
""",
    """
CREATE TABLE leases (
    job_id TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    token TEXT,
    host TEXT NOT NULL,
    place TEXT NOT NULL,
    process INTEGER NOT NULL,
    started TEXT NOT NULL,
    expires REAL NOT NULL,
    last_number INTEGER NOT NULL DEFAULT 0,
    last_digest TEXT NOT NULL DEFAULT ''
) STRICT
""",
    """
CREATE TABLE letters (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
) STRICT
""",
    """
CREATE VIEW jobs AS
SELECT header.job_id, header.at AS created, last.at AS updated, json_extract(header.body, '$.objective') AS objective,
       last.cycle AS cycles, last.round, last.facts, last.stop
FROM log AS header
JOIN log AS last ON last.job_id = header.job_id AND last.number =
    (SELECT number FROM log WHERE job_id = header.job_id AND cycle IS NOT NULL ORDER BY number DESC LIMIT 1)
WHERE header.number = 0
""",
    """
CREATE VIEW facts AS
SELECT log.job_id, log.cycle, json_extract(log.body, '$.base') + each.key AS position,
       json_extract(each.value, '$[0]') AS id, json_extract(each.value, '$[1]') AS round,
       json_extract(each.value, '$[2]') AS content
FROM log, json_each(log.body, '$.facts') AS each WHERE log.cycle IS NOT NULL
""",
    """
CREATE VIEW supports AS
SELECT log.job_id, log.cycle, json_extract(each.value, '$[0]') AS position,
       json_extract(log.body, '$.sources[' || json_extract(each.value, '$[1]') || '][0]') AS agent,
       json_extract(each.value, '$[2]') AS round,
       CASE json_type(each.value, '$[3]')
           WHEN 'array' THEN json_extract(each.value, '$[3]')
           ELSE json_extract(log.body, '$.given[' || json_extract(each.value, '$[3]') || ']')
       END AS evidence
FROM log, json_each(log.body, '$.supports') AS each WHERE log.cycle IS NOT NULL
""",
    """
CREATE VIEW captures AS
SELECT log.job_id, log.number,
       json_extract(each.value, '$[0][0]') AS agent, json_extract(each.value, '$[0][2]') AS name,
       json_extract(each.value, '$[0][3]') AS asked, json_extract(each.value, '$[1]') AS answer
FROM log, json_each(log.body, '$.captures') AS each WHERE log.number > 0
""",
)


def _create(connection: sqlite3.Connection) -> None:
    for statement in _FIRST:
        connection.execute(statement)


def _to_second(connection: sqlite3.Connection) -> None:
    """Move all rows into `log`. Each was a cycle; their digests are made anew, since they cover more columns now."""
    for view in ("jobs", "facts", "supports"):
        connection.execute(f"DROP VIEW IF EXISTS {view}")
    for statement in _SECOND:
        connection.execute(statement)
    columns = "number, number, at, round, facts, stop, 0, '', body"
    for (job_id,) in connection.execute("SELECT DISTINCT job_id FROM cycles").fetchall():
        kept = connection.execute(f"SELECT {columns} FROM cycles WHERE job_id = ? ORDER BY number", (job_id,))
        header, *rows = (StoredRow(*row) for row in kept)
        for row in rechained(JobHeader(job_id, header.at, header.body), rows):
            connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (job_id, *row))
    connection.execute("DROP TABLE cycles")


# What stands at place n brings a file from version n to n + 1. A new file goes through all of them, so that there
# is one way to make the tables.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create, _to_second)
VERSION = len(MIGRATIONS)
