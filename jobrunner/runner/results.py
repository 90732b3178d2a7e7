"""The files by which commands give back a JSON result (`JOBRUNNER_RESULT`)."""

import itertools
import os
import shutil
import stat
import tempfile
from pathlib import Path

import msgspec

from jobrunner.runner.failures import no_room
from jobrunner.runner.identity import Identity

LARGEST_RESULT = 1 << 20  # bytes; a result is a value for programs, not a place for data


class BadResult(Exception):
    """The command wrote something that is no result."""


class ResultFiles:
    """Private places for results; one folder for commands of the daemon's own user.

    Places are texts, not paths: there is one per job, and paths cost as much as the files do.
    """

    def __init__(self, worker: str) -> None:
        """The folders bear the worker's id, so that they can be found when it is killed."""
        self._prefix = _prefix(worker)
        self._folder: str | None = None
        self._numbers = itertools.count()

    def place(self, owner: Identity | None) -> str:
        """Where one attempt may write its result; nothing is there yet."""
        if owner is not None:
            folder = tempfile.mkdtemp(prefix=self._prefix)
            os.chown(folder, owner.uid, owner.gid)
            return f"{folder}/result.json"
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix=self._prefix)
        return f"{self._folder}/{next(self._numbers)}.json"

    def read(self, place: str) -> bytes | None:
        """The JSON that was written, None for nothing. Raises BadResult.

        Raises OSError when no descriptor was to spare.
        """
        if not _is_there(place):
            return None
        try:
            # The folder may belong to another user: no link, pipe or device is followed.
            file = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            if no_room(error) is not None:
                raise
            raise BadResult(f"the result cannot be read: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise BadResult("the result is not a regular file")
            with open(file, "rb", closefd=False) as opened:
                text = opened.read(LARGEST_RESULT + 1)
        finally:
            os.close(file)
        return _checked(text)

    def discard(self, place: str) -> None:
        """Remove what an attempt left there."""
        folder, _, _ = place.rpartition("/")
        if folder != self._folder:
            shutil.rmtree(folder, ignore_errors=True)
        elif _is_there(place):
            try:
                os.unlink(place)
            except OSError:
                shutil.rmtree(place, ignore_errors=True)  # a folder, of all things

    def close(self) -> None:
        """Remove everything; at the end of the worker."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def discard_results(worker: str) -> None:
    """Remove the result files that a killed worker left."""
    # No glob: the id may be any text that somebody wrote into the store.
    for folder in Path(tempfile.gettempdir()).iterdir():
        if folder.name.startswith(_prefix(worker)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_there(place: str) -> bool:
    """Whether anything was written, even a link to nowhere.

    Most commands write nothing: to ask is cheaper than to try in vain, and to catch the error.
    """
    return os.access(place, os.F_OK, follow_symlinks=False)


def _prefix(worker: str) -> str:
    return f"jobrunner-{worker}-"


def _checked(text: bytes) -> bytes | None:
    if len(text) > LARGEST_RESULT:
        raise BadResult(
            f"the result is larger than {LARGEST_RESULT:,} bytes; write data to a file of your "
            "own, and its path to JOBRUNNER_RESULT"
        )
    text = text.strip()
    if not text:
        return None
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise BadResult(f"the result in JOBRUNNER_RESULT is not JSON: {error}") from error
    return text
