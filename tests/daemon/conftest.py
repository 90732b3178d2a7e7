"""Projects with a real daemon."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.daemon.harness import ExternalServer, Project


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    """What is to be done after the test: the last thing noted is done first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def project(cleanup: ExitStack) -> Callable[..., Project]:
    """Makes projects; what they started is stopped after the test."""

    def make(manifest: str, modules: Mapping[str, str] | None = None) -> Project:
        made = Project(manifest, modules)
        cleanup.callback(made.close)
        cleanup.callback(made.print_logs)  # pytest shows it when the test fails
        return made

    return make


@pytest.fixture
def server(cleanup: ExitStack) -> ExternalServer:
    """A server of its own, for `store.url`; stopped after the daemons of the test."""
    started = ExternalServer()
    cleanup.callback(started.close)
    return started
