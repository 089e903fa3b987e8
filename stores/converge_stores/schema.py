"""The tables of a store file and their numbered changes.

One table holds everything: row 0 of a job is its header (the root intent), every further row is one cycle, written
once. The views show the JSON of the rows as facts and supports, for anyone with plain `sqlite3`.
"""

__all__ = ["APPLICATION_ID", "MIGRATIONS", "VERSION"]

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
    """
CREATE VIEW jobs AS
SELECT header.job_id, header.at AS created, last.at AS updated, json_extract(header.body, '$.objective') AS objective,
       last.number AS cycles, last.round, last.facts, last.stop
FROM (SELECT job_id, max(number) AS number FROM cycles GROUP BY job_id) AS head
JOIN cycles AS header ON header.job_id = head.job_id AND header.number = 0
JOIN cycles AS last ON last.job_id = head.job_id AND last.number = head.number
""",
    """
CREATE VIEW facts AS
SELECT cycles.job_id, cycles.number AS cycle, json_extract(cycles.body, '$.base') + each.key AS position,
       json_extract(each.value, '$[0]') AS id, json_extract(each.value, '$[1]') AS round,
       json_extract(each.value, '$[2]') AS content
FROM cycles, json_each(cycles.body, '$.facts') AS each WHERE cycles.number > 0
""",
    """
CREATE VIEW supports AS
SELECT cycles.job_id, cycles.number AS cycle, json_extract(each.value, '$[0]') AS position,
       json_extract(cycles.body, '$.sources[' || json_extract(each.value, '$[1]') || '][0]') AS agent,
       json_extract(each.value, '$[2]') AS round,
       CASE json_type(each.value, '$[3]')
           WHEN 'array' THEN json_extract(each.value, '$[3]')
           ELSE json_extract(cycles.body, '$.given[' || json_extract(each.value, '$[3]') || ']')
       END AS evidence
FROM cycles, json_each(cycles.body, '$.supports') AS each WHERE cycles.number > 0
""",
)

# The statements at place n bring a file from version n to n + 1.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
VERSION = len(MIGRATIONS)
