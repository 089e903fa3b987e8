"""The tables of a store in PostgreSQL, in a schema of their own, and how earlier versions are brought forward.

They are those of the file: one table holds what jobs are, row 0 of a job being its header; beside it stand who runs a
job and the letters to it. The views show the JSON of the rows as facts, supports and captures, for anyone with `psql`.
"""

__all__ = ["MIGRATIONS", "VERSION"]

# Ids are compared byte by byte: quicker than by the rules of a language, and in the order of every other store.
_FIRST = (
    """
CREATE TABLE {schema}.log (
    job_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    cycle bigint,
    at double precision NOT NULL,
    round bigint NOT NULL,
    facts bigint NOT NULL,
    stop text,
    epoch bigint NOT NULL,
    digest text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (job_id, number)
)
""",
    "CREATE INDEX headers ON {schema}.log (at DESC, job_id) WHERE number = 0",
    """
CREATE TABLE {schema}.leases (
    job_id text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL,
    token text,
    host text NOT NULL,
    place text NOT NULL,
    process bigint NOT NULL,
    started text NOT NULL,
    expires double precision NOT NULL,
    last_number bigint NOT NULL DEFAULT 0,
    last_digest text NOT NULL DEFAULT ''
)
""",
    """
CREATE TABLE {schema}.letters (
    job_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    at double precision NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (job_id, number)
)
""",
    """
CREATE VIEW {schema}.jobs AS
SELECT header.job_id, header.at AS created, last.at AS updated, header.body::json ->> 'objective' AS objective,
       last.cycle AS cycles, last.round, last.facts, last.stop
FROM {schema}.log AS header
JOIN LATERAL (SELECT * FROM {schema}.log WHERE job_id = header.job_id AND cycle IS NOT NULL
              ORDER BY number DESC LIMIT 1) AS last ON true
WHERE header.number = 0
""",
    """
CREATE VIEW {schema}.facts AS
SELECT log.job_id, log.cycle, (log.body::json ->> 'base')::bigint + each.place - 1 AS position,
       each.value ->> 0 AS id, (each.value ->> 1)::bigint AS round, each.value -> 2 AS content
FROM {schema}.log, json_array_elements(log.body::json -> 'facts') WITH ORDINALITY AS each (value, place)
WHERE log.cycle IS NOT NULL
""",
    """
CREATE VIEW {schema}.supports AS
SELECT log.job_id, log.cycle, (each.value ->> 0)::bigint AS position,
       log.body::json -> 'sources' -> (each.value ->> 1)::int ->> 0 AS agent, (each.value ->> 2)::bigint AS round,
       CASE json_typeof(each.value -> 3)
           WHEN 'array' THEN each.value -> 3
           ELSE log.body::json -> 'given' -> (each.value ->> 3)::int
       END AS evidence
FROM {schema}.log, json_array_elements(log.body::json -> 'supports') AS each (value)
WHERE log.cycle IS NOT NULL
""",
    """
CREATE VIEW {schema}.captures AS
SELECT log.job_id, log.number, each.value -> 0 ->> 0 AS agent, each.value -> 0 ->> 2 AS name,
       each.value -> 0 ->> 3 AS asked, each.value ->> 1 AS answer
FROM {schema}.log, json_array_elements(log.body::json -> 'captures') AS each (value)
WHERE log.number > 0
""",
)

# What stands at place n brings a store from version n to n + 1; a new one goes through all of them.
MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
VERSION = len(MIGRATIONS)
