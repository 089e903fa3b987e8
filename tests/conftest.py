"""Hypothesis without a deadline, since a test must not depend on how busy the machine is; and a server that fails."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

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
