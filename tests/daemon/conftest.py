"""Projects with a real daemon."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.daemon.harness import ExternalServer, Project


@pytest.fixture
def project() -> Iterator[Callable[..., Project]]:
    """Makes projects; what they started is stopped after the test."""
    with ExitStack() as made:

        def make(manifest: str, modules: Mapping[str, str] | None = None) -> Project:
            each = Project(manifest, modules)
            made.callback(each.close)
            made.callback(each.print_logs)  # pytest shows it when the test fails
            return each

        yield make


@pytest.fixture
def server() -> Iterator[ExternalServer]:
    """A server of its own, for `store.url`."""
    started = ExternalServer()
    yield started
    started.close()
