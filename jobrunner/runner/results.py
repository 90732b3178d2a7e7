"""The files by which commands give back a JSON result (`JOBRUNNER_RESULT`).

A worker has one folder, which only it can change: others may pass through it and see nothing. In it
is one folder for commands of the daemon's own user, and one for each attempt of another user, who
cannot put something else in its place. All of it is opened from the worker's folder downwards, by
descriptor, and no link is followed: a path could lead elsewhere by the time it is used.
"""

import errno
import fcntl
import itertools
import os
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jobrunner.message import MOST_RESULT, fault_in_json
from jobrunner.runner.failures import CannotStart, no_room
from jobrunner.runner.identity import Identity
from jobrunner.runner.removal import FOLDER, remove_tree

OWN = "own"  # the folder for commands of the daemon's user
NAME = "result.json"  # in the folder of an attempt of another user
PASSED_THROUGH = 0o711
CLOSE_PATIENCE_S = 1.0  # for what is being removed as the worker ends
CLOSE_POLL_S = 0.01


class BadResult(Exception):
    """The command wrote something that is no result."""


class ResultFiles:
    """Private places for the results of one worker.

    Places are texts, not paths: there is one per job, and paths cost as much as the files do.
    """

    def __init__(self, worker: str, most: int = MOST_RESULT) -> None:
        """The folder bears the worker's id, so that it can be found when it is killed.

        `most`: bytes of a result.
        """
        self._most = most
        self._prefix = _prefix(worker)
        self._path = ""  # of the folder; empty before the first command
        self._folder = -1  # both opened
        self._own = -1
        self._own_path = ""
        self._numbers = itertools.count()
        self._users: dict[str, int] = {}  # whose the folders of attempts are

    def place(self, owner: Identity | None) -> str:
        """Where one attempt may write its result; nothing is there yet. Raises CannotStart.

        Raises OSError when no descriptor, or no memory, was to spare.
        """
        try:
            if self._own < 0 or os.fstat(self._own).st_nlink == 0:
                self._make()  # for the first time, or since somebody has cleared /tmp
            if owner is None:
                return f"{self._own_path}/{next(self._numbers)}.json"
            return self._place_of(owner)
        except OSError as error:
            if no_room(error) is not None:
                raise
            raise CannotStart(
                f"there is no place for its result: {error.strerror or error}",
                fix="let the daemon write to its temporary folder, TMPDIR or /tmp",
            ) from error

    def read(self, place: str) -> bytes | None:
        """The JSON that was written, None for nothing. Raises BadResult.

        Raises OSError when no descriptor was to spare.
        """
        folder, _, name = place.rpartition("/")
        if folder == self._own_path:
            return _read(self._own, name, os.geteuid(), self._most)
        try:
            with self._entered(folder) as entered:
                return _read(entered, name, self._users[folder], self._most)
        except OSError as error:
            if no_room(error) is not None:
                raise
            raise BadResult(f"the result cannot be read: {error.strerror}") from error

    def discard(self, place: str) -> None:
        """Remove what an attempt left there; what is more than a file, in the background."""
        folder, _, name = place.rpartition("/")
        if folder == self._own_path:
            if _is_there(name, self._own):
                _discard_file(name, self._own)
            return
        attempt = os.path.basename(folder)
        del self._users[folder]
        with suppress(OSError), self._entered(folder) as entered:
            os.unlink(name, dir_fd=entered)
        try:
            os.rmdir(attempt, dir_fd=self._folder)
        except OSError:
            _remove_later(attempt, self._folder)

    def close(self) -> None:
        """Remove everything; at the end of the worker."""
        if self._own < 0:
            return
        give_up_at = time.monotonic() + CLOSE_PATIENCE_S
        while not _is_removed(self._path, self._folder) and time.monotonic() < give_up_at:
            time.sleep(CLOSE_POLL_S)  # a thread may be removing a tree in it
        os.close(self._own)
        os.close(self._folder)
        self._own = self._folder = -1

    def _make(self) -> None:
        self.close()
        self._path = tempfile.mkdtemp(prefix=self._prefix)
        self._folder = os.open(self._path, FOLDER)
        os.chmod(self._folder, PASSED_THROUGH)
        # Who clears /tmp of what is old leaves locked folders alone: see tmpfiles.d(5).
        fcntl.flock(self._folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
        os.mkdir(OWN, 0o700, dir_fd=self._folder)
        self._own = os.open(OWN, FOLDER, dir_fd=self._folder)
        self._own_path = f"{self._path}/{OWN}"

    def _place_of(self, owner: Identity) -> str:
        name = str(next(self._numbers))
        os.mkdir(name, 0o700, dir_fd=self._folder)
        os.chown(name, owner.uid, owner.gid, dir_fd=self._folder, follow_symlinks=False)
        self._users[f"{self._path}/{name}"] = owner.uid
        return f"{self._path}/{name}/{NAME}"

    @contextmanager
    def _entered(self, folder: str) -> Iterator[int]:
        """The opened folder of an attempt."""
        entered = os.open(os.path.basename(folder), FOLDER, dir_fd=self._folder)
        try:
            yield entered
        finally:
            os.close(entered)


def discard_results(worker: str) -> None:
    """Remove the result files that a killed worker of this user left."""
    try:
        place = os.open(tempfile.gettempdir(), os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return  # no folder can be written to, so there is none of ours
    try:
        # No glob: the id may be any text that somebody wrote into the store.
        for name in os.listdir(place):
            if name.startswith(_prefix(worker)):
                _discard_folder(name, place)
    finally:
        os.close(place)


def _discard_folder(name: str, place: int) -> None:
    """Remove a folder of ours; not what another user has put there under such a name."""
    try:
        folder = os.open(name, FOLDER, dir_fd=place)
    except OSError:
        return
    try:
        if os.fstat(folder).st_uid == os.geteuid():
            _empty(folder)
            with suppress(OSError):
                os.rmdir(name, dir_fd=place)
    finally:
        os.close(folder)


def _is_there(name: str, folder: int) -> bool:
    """Whether anything was written, even a link to nowhere.

    Most commands write nothing: to ask is cheaper than to try in vain, and to catch the error.
    """
    return os.access(name, os.F_OK, dir_fd=folder, follow_symlinks=False)


def _read(folder: int, name: str, uid: int, most: int) -> bytes | None:
    """The checked text of a file of this user, of `most` bytes; None for no file.

    Raises BadResult.
    """
    if not _is_there(name, folder):
        return None
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if no_room(error) is not None:
            raise
        if error.errno == errno.ELOOP:
            raise BadResult("the result is a link, not a regular file") from error
        raise BadResult(f"the result cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise BadResult("the result is not a regular file")
        if status.st_uid != uid:
            # A file of root's that was linked or moved there must not be read out by root.
            raise BadResult(
                f"the result belongs to uid {status.st_uid}, and the command ran as {uid}"
            )
        with open(file, "rb", closefd=False) as opened:
            text = opened.read(most + 1)
    finally:
        os.close(file)
    return _checked(text, most)


def _discard_file(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        _remove_later(name, folder)  # a folder, of all things


def _remove_later(name: str, folder: int) -> None:
    """Remove a tree, which may be large, without holding up the worker's loop."""
    opened = os.dup(folder)  # it may be closed before

    def remove() -> None:
        remove_tree(name, opened)
        os.close(opened)

    try:
        threading.Thread(target=remove, daemon=True).start()
    except RuntimeError:  # no room for a thread: it goes with the worker
        os.close(opened)


def _is_removed(path: str, folder: int) -> bool:
    """Remove a folder of ours with all that is in it; whether that was possible."""
    _empty(folder)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _empty(folder: int) -> None:
    """Remove all that is in an opened folder."""
    for name in os.listdir(folder):
        remove_tree(name, folder)


def _prefix(worker: str) -> str:
    return f"jobrunner-{worker}-"


def _checked(text: bytes, most: int) -> bytes | None:
    if len(text) > most:
        raise BadResult(
            f"the result in JOBRUNNER_RESULT has more than the {most:,} bytes of bounds.result; "
            "write data to a file of your own, and its path there, or raise the bound"
        )
    text = text.strip()
    if not text:
        return None
    if (fault := fault_in_json(text)) is not None:
        raise BadResult(f"the result in JOBRUNNER_RESULT is not JSON: {fault}")
    return text
