"""Which manifest and which store a command is about, without loading pydantic or user code.

Only `name` and `store.url` are read from the manifest, so that an error elsewhere in it does not
keep anybody from looking at the jobs. For an embedded server the daemon leaves a note, with which
the manifest need not be read at all.
"""

import json
import os
from collections.abc import Mapping
from enum import StrEnum
from errno import EFBIG
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from jobrunner.embedded.files import ServerFiles
from jobrunner.errors import ManifestError, UsageError
from jobrunner.manifest.naming import NAME_RULE, default_name, is_valid_name
from jobrunner.manifest.trust import TRUST_VARIABLE, Guard, open_guarded, read_guarded
from jobrunner.runner.withheld import whole_environment
from jobrunner.state import expanded, state_folder, state_home
from jobrunner.store.address import StoreAddress
from jobrunner.store.private import read_private, write_private

if TYPE_CHECKING:
    from jobrunner.manifest.nodes import Node

MANIFEST_PLACES = (Path("jobs.yaml"), Path("/etc/jobrunner/jobs.yaml"))
SYSTEM_STATE = Path("/var/lib/jobrunner")  # of daemons that systemd started


class Located(msgspec.Struct, frozen=True):
    """A manifest (absolute path) with its namespace, state folder and store."""

    manifest: Path
    name: str
    state_folder: Path
    address: StoreAddress


class Use(StrEnum):
    """What a manifest is wanted for, on which it depends whose word is taken."""

    LOOK = "look"  # at the store, or at what the manifest says
    RUN = "run"  # its jobs
    COMPLETE = "complete"  # a word that is being typed: nobody has asked for anything yet


class Chosen(NamedTuple):
    """A manifest (absolute path), and who may write what is read for it."""

    path: Path
    guard: Guard


def choose_manifest(
    file: str | Path | None,
    environ: Mapping[str, str],
    *,
    is_trusted: bool = False,
    use: Use = Use.LOOK,
) -> Chosen:
    """The manifest that `find_manifest` finds.

    One found in the current folder is not somebody else's; root runs none that others can write;
    and a completion asks only where the user's own manifest says. `is_trusted`, or
    `JOBRUNNER_TRUST=1`, takes anybody's word. Raises UsageError when there is none.
    """
    path = find_manifest(file, environ)
    if is_trusted or environ.get(TRUST_VARIABLE) == "1":
        return Chosen(path, Guard.NONE)
    if use is Use.COMPLETE:
        return Chosen(path, Guard.OWN)
    if use is Use.RUN and os.geteuid() == 0:
        return Chosen(path, Guard.FOLDERS)
    is_named = file is not None or bool(environ.get("JOBRUNNER_FILE"))
    is_found_here = not is_named and path == MANIFEST_PLACES[0].absolute()
    return Chosen(path, Guard.FILES if is_found_here else Guard.NONE)


def find_manifest(file: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """`file`, else `$JOBRUNNER_FILE`, else the first of the usual places; absolute.

    Raises UsageError when there is none.
    """
    environ = os.environ if environ is None else environ
    if file is not None:
        return _existing(Path(file), "it was given with --file")
    if named := environ.get("JOBRUNNER_FILE"):
        return _existing(Path(named), "JOBRUNNER_FILE names it")
    for place in MANIFEST_PLACES:
        if place.is_file():
            return _as_text(place.absolute())
    raise UsageError(
        "there is no manifest",
        why=f"neither {' nor '.join(f'{_shown(place)}' for place in MANIFEST_PLACES)} exists",
        fix="write one with `jobrunner init`, or name one with --file",
    )


def find_store(
    file: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    is_trusted: bool = False,
    use: Use = Use.LOOK,
) -> Located:
    """The store of the manifest that `choose_manifest` chooses.

    Without `environ`, in this process's environment, and what it withholds from its programs.
    Raises UsageError, or ManifestError when `name` or `store.url` cannot be read; Untrusted.
    """
    environ = whole_environment() if environ is None else environ
    manifest, guard = choose_manifest(file, environ, is_trusted=is_trusted, use=use)
    return _noted(manifest, environ, guard) or _read(manifest, environ, guard)


def note_endpoint(located: Located, environ: Mapping[str, str]) -> None:
    """Leave a note for `find_store`, when it would tell the same as the manifest.

    The daemon calls it once the embedded server runs. A URL is not noted, it could hold
    a password; nor is anything that depends on the environment.
    """
    note = _note_of(located.manifest, environ)
    if not located.address.is_embedded or _depends_on_environment(located.manifest):
        note.unlink(missing_ok=True)
        return
    fields = {
        **_version(located.manifest),
        "name": located.name,
        "state_folder": str(located.state_folder),
    }
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(note, json.dumps(fields))


def _existing(path: Path, why: str) -> Path:
    try:
        if path.is_file():
            return _as_text(path.absolute())
        what = "is not a file" if path.exists() else "does not exist"
    except OSError as error:  # a name that is too long
        what = f"cannot be read: {error.strerror}"
    raise UsageError(
        f"the manifest {path} {what}", why=why, fix="correct the path, or run `jobrunner init`"
    )


def _as_text(path: Path) -> Path:
    """The path, which workers are told and the store keeps. Raises UsageError."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the path of the manifest, {str(path)!r}, is not UTF-8 text",
            why="the daemon tells it to its workers, and keeps it in the store, as UTF-8",
            fix="rename the folder or file, or move the manifest to another folder",
        ) from error
    return path


def _shown(place: Path) -> str:
    return str(place) if place.is_absolute() else f"./{place}"


def _noted(manifest: Path, environ: Mapping[str, str], guard: Guard) -> Located | None:
    """What the daemon noted, as long as the manifest is unchanged since."""
    try:
        fields = json.loads(read_private(_note_of(manifest, environ)))
        if not _version(manifest, guard).items() <= fields.items():
            return None
        return _embedded(manifest, fields["name"], Path(fields["state_folder"]))
    except (OSError, ValueError, KeyError, AttributeError, UsageError):
        return None


def _note_of(manifest: Path, environ: Mapping[str, str]) -> Path:
    if own := environ.get("JOBRUNNER_STATE"):
        return expanded(own) / "endpoint.json"
    digest = sha1(os.fsencode(manifest.absolute()), usedforsecurity=False).hexdigest()
    return state_home(environ) / ".endpoints" / f"{digest[:16]}.json"


def _version(manifest: Path, guard: Guard = Guard.NONE) -> dict[str, str | int]:
    status = manifest.stat() if guard is Guard.NONE else _status_of(manifest, guard)
    return {
        "manifest": str(manifest.absolute()),
        "mtime_ns": status.st_mtime_ns,
        "size": status.st_size,
    }


def _status_of(manifest: Path, guard: Guard) -> os.stat_result:
    opened = open_guarded(manifest, guard)
    try:
        return os.fstat(opened)
    finally:
        os.close(opened)


def _read(manifest: Path, environ: Mapping[str, str], guard: Guard) -> Located:
    top = _top_of(manifest, guard)
    name = _filled_in(top.name, ("name",), environ) or default_name(manifest)
    if not is_valid_name(name):
        raise UsageError(
            f"{name!r} in {manifest} is not a valid name", why=NAME_RULE, fix="change `name:`"
        )
    url = _filled_in(top.url, ("store", "url"), environ)
    if url:
        folder = _folder_if_any(name, environ)
        return Located(manifest, name, folder, StoreAddress(name, url=url))
    return _embedded(manifest, name, _folder_in_use(name, environ))


def _folder_if_any(name: str, environ: Mapping[str, str]) -> Path:
    """The state folder; for a user without a home, one that nobody has: a client needs none."""
    try:
        return state_folder(name, environ)
    except UsageError:
        return Path("/nonexistent", name)


def _embedded(manifest: Path, name: str, folder: Path) -> Located:
    address = StoreAddress(name, socket=str(ServerFiles(folder).socket()))
    return Located(manifest, name, folder, address)


def _folder_in_use(name: str, environ: Mapping[str, str]) -> Path:
    """The usual state folder, or that of a system service if only it exists."""
    usual, system = state_folder(name, environ), SYSTEM_STATE / name
    if environ.get("JOBRUNNER_STATE") or os.path.isdir(usual) or not os.path.isdir(system):
        return usual
    return system


class _Top(msgspec.Struct, frozen=True):
    """The two values of a manifest that matter here, as they stand in it."""

    name: "Node | None"
    url: "Node | None"


def _top_of(manifest: Path, guard: Guard = Guard.NONE) -> _Top:
    from jobrunner.manifest.source import LARGEST_FILE, read_source

    try:
        content = read_guarded(manifest, guard, LARGEST_FILE)
        if len(content) > LARGEST_FILE:
            raise OSError(EFBIG, f"it has more than {LARGEST_FILE:,} bytes")
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the manifest {manifest} cannot be read: {error}",
            fix="make it a UTF-8 text file that this user may read",
        ) from error
    source = read_source(text, str(manifest))
    if source.root is None and source.problems:
        raise ManifestError(source.problems)
    return _Top(_child(source.root, "name"), _child(_child(source.root, "store"), "url"))


def _child(node: "Node | None", key: str) -> "Node | None":
    from jobrunner.manifest.nodes import Keys

    entry = node.entries.get(key) if isinstance(node, Keys) else None
    return entry.node if entry else None


def _filled_in(node: "Node | None", path: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """The text of a value with its variables filled in; empty for a missing one."""
    from jobrunner.manifest.values import Values

    if node is None:
        return ""
    values = Values(environ)
    value = values.of(node, path)
    if values.problems:
        raise ManifestError(values.problems)
    return "" if value is None else str(value)


def _depends_on_environment(manifest: Path) -> bool:
    from jobrunner.manifest.nodes import Scalar

    top = _top_of(manifest)
    return top.url is not None or (isinstance(top.name, Scalar) and "${" in top.name.text)
