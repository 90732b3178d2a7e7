"""Fixtures for all tests."""

import os
from collections.abc import Iterator

import psutil
import pytest


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """One per processor: most tests wait for processes of their own, and bound that wait."""
    return psutil.cpu_count() or 1


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
