"""Private files that hold secrets for one attempt (`as: file` in `env`).

They lie in memory where there is a folder for that, so that no disk keeps them. The folder bears
the worker's id, and the mark of the store's namespace: it is found and removed when the worker is
killed, too.
"""

import os
import tempfile
from pathlib import Path

from jobrunner.runner.failures import CannotStart, no_room
from jobrunner.runner.identity import Identity
from jobrunner.runner.removal import remove_tree

IN_MEMORY = "/dev/shm"  # a tmpfs, where systems and containers have one


class SecretFolder:
    """Belongs to one attempt. Made with its first file."""

    __slots__ = ("_path", "_prefix", "_user")

    def __init__(self, owner: str, worker: str, user: Identity | None) -> None:
        self._prefix = _prefix(owner, worker)
        self._user = user
        self._path: str | None = None

    def write(self, name: str, value: bytes) -> str:
        """The path of a new file, for the attempt's user alone. Raises CannotStart."""
        try:
            if self._path is None:
                self._path = tempfile.mkdtemp(prefix=self._prefix, dir=_places()[0])
            path = f"{self._path}/{len(os.listdir(self._path)) + 1}-{_plain(name)}"
            # Only we can enter the folder: nobody has put anything else there.
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with open(file, "wb") as opened:
                opened.write(value)
                if self._user is not None:
                    os.fchown(file, self._user.uid, self._user.gid)
        except OSError as error:
            raise no_room(error) or CannotStart(
                f"no private file could be made for secret {name!r}: {error.strerror}",
                fix=f"let the daemon write to {' or '.join(_places())}",
            ) from error
        return path

    def hand_over(self) -> None:
        """Let the attempt's user enter. Then only that user, or root, may change what is there."""
        if self._path is not None and self._user is not None:
            os.chown(self._path, self._user.uid, self._user.gid)

    def discard(self) -> None:
        """Remove what there is."""
        if self._path is not None:
            remove_tree(str(self._path))
            self._path = None


def discard_secrets(owner: str, worker: str) -> None:
    """Remove the files that a killed worker left."""
    for place in map(Path, _places()):
        # No glob: the id may be any text that somebody wrote into the store.
        for folder in place.iterdir():
            if folder.name.startswith(_prefix(owner, worker)):
                remove_tree(str(folder))


def _places() -> list[str]:
    """Where they may lie, the best first."""
    places = [IN_MEMORY] if os.access(IN_MEMORY, os.W_OK | os.X_OK) else []
    try:
        return [*places, tempfile.gettempdir()]
    except FileNotFoundError:  # no folder can be written to
        return places or [os.sep]


def _prefix(owner: str, worker: str) -> str:
    return f"jobrunner-secrets-{owner}-{worker}-"


def _plain(name: str) -> str:
    """A variable's name as a file's: it may hold anything but `=`."""
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in name)[:100]
