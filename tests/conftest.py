"""Fixtures for all tests."""

import os
from collections.abc import Iterator
from math import ceil

import psutil
import pytest


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """More than processors: a third of the tests' time is waiting for processes."""
    return ceil(1.5 * (psutil.cpu_count() or 1))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """The tests may run in a shell, or in a job, that names a manifest or a state folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("JOBRUNNER_")]:
            patch.delenv(name)
        yield
