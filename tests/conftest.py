"""Hypothesis without a deadline, since no test depends on how busy the machine is; a server that fails; a database."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.postgres import Postgres, postgres
from tests.servers import Llmock, llmock

settings.register_profile("converge", deadline=None)
settings.load_profile("converge")


@pytest.fixture(scope="module")
def failing() -> Iterator[Llmock]:
    """A model server that fails as it is told to; one for the tests of a module."""
    with llmock() as server:
        yield server


@pytest.fixture
def server(failing: Llmock) -> Llmock:
    """That server, with nothing told to it yet."""
    failing.reset()
    return failing


@pytest.fixture(scope="session")
def database() -> Iterator[Postgres]:
    """A database server; each test takes a schema of its own there."""
    with postgres() as server:
        yield server
