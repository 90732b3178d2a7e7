"""A fresh server for one run: the program and the settings that `jobrunner run` has."""

import shutil
import tempfile
from pathlib import Path
from typing import Self

from benchmarks.failure import PeerFailed
from jobrunner.embedded.server import EmbeddedServer
from jobrunner.store.checks import processor_s

DURABILITY = "everysec"


class Server:
    """Started and removed with its folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="jr-bench-"))  # short, for the socket's sake
        self._server = EmbeddedServer(self.folder, DURABILITY)

    @property
    def socket(self) -> str:
        return str(self._server.address("").socket)

    def usage_s(self) -> float:
        """Processor time that it has used so far. Raises PeerFailed."""
        info = self._server.info()
        if info is None:
            raise PeerFailed("the server does not answer")
        return processor_s(info)

    def __enter__(self) -> Self:
        self._server.ensure()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
