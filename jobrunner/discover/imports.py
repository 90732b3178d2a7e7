"""Importing one module of the user, and saying clearly why it failed."""

import importlib
import linecache
import os
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from jobrunner.errors import Location, Problem
from jobrunner.manifest.trust import Untrusted
from jobrunner.runner.forks import InThisProcess

# Frames of this package and of the import itself are nobody's mistake.
MACHINERY = (str(Path(__file__).parent.parent) + os.sep, str(importlib.__file__))


def import_module(name: str, folder: str) -> ModuleType | Problem:
    """The module, or why it cannot be imported; `folder` holds the user's own modules."""
    try:
        with InThisProcess():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(missing + "."):
            return _not_found(name, missing, folder)
        fix = f"install {missing!r} for {sys.executable}, or correct the import"
        return _failed(name, error, folder, fix)
    except Untrusted as error:
        return Problem(None, f"module {name!r} is not imported: {error.what}", error.why, error.fix)
    # Whatever a module raises while it is imported, even SystemExit, is a problem of that module.
    except (Exception, SystemExit) as error:
        fix = f"`cd {folder} && {sys.executable} -c 'import {name}'` shows the whole traceback"
        return _failed(name, error, folder, fix)


def _not_found(name: str, missing: str, folder: str) -> Problem:
    parent, _, last = missing.rpartition(".")
    places = getattr(sys.modules[parent], "__path__", []) if parent else [folder]
    near = get_close_matches(last, [module.name for module in iter_modules(places)], 1)
    suggestion = f"{parent}.{near[0]}" if parent and near else "".join(near)
    return Problem(
        where=None,
        what=f"module {name!r} is not found",
        why=f"there is no {missing!r} in {folder}, nor among the packages of {sys.executable}",
        fix=f"did you mean {suggestion!r}?" if near else "correct the name, or write the module",
    )


def _failed(name: str, error: BaseException, folder: str, fix: str) -> Problem:
    where = _place(error, folder)
    line = linecache.getline(where.file, where.line).rstrip() if where else ""
    return Problem(
        where=where,
        what=f"module {name!r} cannot be imported",
        why=traceback.format_exception_only(error)[-1].strip(),
        fix=fix,
        excerpt=f"{line}\n{' ' * (where.column - 1)}^" if where and line else None,
    )


def _place(error: BaseException, folder: str) -> Location | None:
    """Where user code failed: the innermost frame in the manifest's folder, if there is one,
    for a line deep in a library tells the user less."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return Location(error.filename, error.lineno, max(error.offset or 1, 1))
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if os.path.isabs(frame.filename) and not frame.filename.startswith(MACHINERY)
    ]
    own = [frame for frame in frames if frame.filename.startswith(folder + os.sep)] or frames
    if not own or own[-1].lineno is None:
        return None
    return Location(own[-1].filename, own[-1].lineno, (own[-1].colno or 0) + 1)
