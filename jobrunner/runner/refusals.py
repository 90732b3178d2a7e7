"""Why a program could not be started, and what to do: the system says little more than "no".

`No such file` may mean the interpreter of a script, `Permission denied` a folder or a mount. What
is true is read from the file itself.
"""

import errno
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jobrunner.runner.failures import NOT_EXECUTABLE, NOT_FOUND, CannotStart

FIRST_BYTES = 4096  # of a program: its interpreter line, or the name of its loader
_LONGEST_STRING = 128 << 10  # of one argument or variable: MAX_ARG_STRLEN, execve(2)
# What people put in front of a command, and no program answers to.
OF_SHELLS = frozenset(
    [
        "cd",
        ".",
        "source",
        "export",
        "unset",
        "set",
        "shopt",
        "alias",
        "eval",
        "exec",
        "ulimit",
        "if",
        "for",
        "while",
        "until",
        "case",
        "function",
        "[[",
        "{",
        "(",
        "!",
    ]
)
_LOADER = re.compile(rb"/[\w./-]*/ld[\w.-]*\.so[\w.]*")
_BOM = b"\xef\xbb\xbf"


class Cause(NamedTuple):
    """Why, and how to mend it."""

    why: str | None
    fix: str


def refusal(
    error: Exception,
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    cwd_written: str | None = None,
) -> CannotStart:
    """What the error of a start means for the user.

    `cwd_written` is quoted in place of a folder in whose path parts of arguments may stand.
    """
    program = argv[0]
    code = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OSError) and str(error.filename) == str(cwd):
        return CannotStart(
            f"cannot enter the working folder {cwd_written or str(cwd)!r}: {error.strerror}",
            fix="correct `cwd`, or make the folder",
        )
    if code == errno.E2BIG:
        return _refused(f"cannot start {program!r}: {os.strerror(code)}", _too_long(argv, env))
    path = file_of(program, env, cwd)
    cause = None
    if path is not None and code is not None:
        cause = cause_in(path, code, _shown(path, program, None if cwd_written else cwd))
    if code == errno.ENOENT:
        if path is None:
            return _not_found(program, env)
        what = f"command cannot be started: {program!r}"
        return _refused(what, cause or Cause(None, "try it in a shell"), NOT_FOUND)
    if code == errno.EACCES:
        denied = Cause(
            "the user it runs as may not execute it, or not enter a folder on the way to it",
            "give that user the right: chmod, chown, or `user`",
        )
        return _refused(f"command not executable: {program!r}", cause or denied)
    if code == errno.ENOEXEC:
        no_line = Cause(
            "it is neither a program of this system nor a script with an interpreter line",
            f"begin it with a line such as #!/bin/sh, or write `command: [sh, {program}]`",
        )
        return _refused(f"command cannot be started: {program!r}", cause or no_line)
    if code == errno.ETXTBSY:
        busy = Cause(
            "a process has the file open for writing",
            "write a new version to another file, and rename it when it is complete",
        )
        return _refused(f"command cannot be started: {program!r} is being written", busy)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return CannotStart(f"cannot start {program!r}: {reason}", exit_code=NOT_EXECUTABLE)


def _refused(what: str, cause: Cause, exit_code: int = NOT_EXECUTABLE) -> CannotStart:
    return CannotStart(what, why=cause.why, fix=cause.fix, exit_code=exit_code)


def _not_found(program: str, env: Mapping[str, str]) -> CannotStart:
    why = f"PATH is {env.get('PATH', '')!r}" if "/" not in program else None
    fix = "correct the name, or install the program"
    if program in OF_SHELLS:
        why = "it is a word of shells, and no shell reads a command"
        fix = "write `shell:` instead of `command:`" + (" or use `cwd`" if program == "cd" else "")
    elif " " in program:
        fix = "write each word as an item of its own, e.g. [echo, hello]"
    return CannotStart(f"command not found: {program!r}", why=why, fix=fix, exit_code=NOT_FOUND)


def file_of(program: str, env: Mapping[str, str], cwd: Path) -> Path | None:
    """Where the program is, whether it can be started or not."""
    folders = [""] if "/" in program else env.get("PATH", os.defpath).split(os.pathsep)
    for folder in folders:
        path = cwd / folder / program
        if os.path.lexists(path) and ("/" in program or not path.is_dir()):
            return path
    return None


def _shown(path: Path, program: str, cwd: Path | None) -> str:
    """The program for an error; without its folder where parts of a secret may stand in that.

    As it is written, since of a path that is put together no masker finds a secret.
    """
    if "/" not in program:
        return str(path)
    return program if cwd is None or program.startswith("/") else f"{cwd}/{program}"


def cause_in(path: Path, code: int, program: str) -> Cause | None:
    """What in the file makes for such an error (of errno); None when nothing is seen.

    `program` is how it is quoted.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return Cause("it is a folder", "name a program in it")
        if not mode & 0o111:
            return Cause("its mode has no x", f"chmod +x {program}")
        if code == errno.EACCES and os.statvfs(path).f_flag & getattr(os, "ST_NOEXEC", 0):
            return Cause(
                "its file system is mounted noexec",
                "move it to another one, or start it by its interpreter",
            )
        with path.open("rb") as file:
            return _cause_in_bytes(file.read(FIRST_BYTES), program, code)
    except FileNotFoundError:
        return Cause("it is a link to a file that is not there", "correct the link")
    except OSError:
        return None


def _cause_in_bytes(begin: bytes, program: str, code: int) -> Cause | None:
    if begin.startswith(b"#!"):
        return ended_by_cr(begin, program) or _cause_in_line(begin.split(b"\n", 1)[0])
    if begin.startswith(b"\x7fELF"):
        return _cause_in_program(begin, code)
    if code != errno.ENOEXEC:
        return None
    if not begin:
        return Cause("the file is empty", "write a script or program into it")
    if begin.startswith(_BOM + b"#!"):
        return Cause(
            "a byte order mark stands before its interpreter line", "save it as UTF-8 without one"
        )
    return None


def _cause_in_program(begin: bytes, code: int) -> Cause | None:
    if code == errno.ENOEXEC:
        what = "it was built for another kind of machine"
        return Cause(what, "install the program for this machine")
    loader = _LOADER.search(begin)
    if code != errno.ENOENT or loader is None or os.path.exists(loader[0]):
        return None
    return Cause(
        f"its loader {os.fsdecode(loader[0])!r} is not there: it was built for another system",
        "install the program for this system, e.g. for its C library",
    )


def ended_by_cr(begin: bytes, program: str) -> Cause | None:
    """Whether the interpreter line ends as on Windows: the CR counts as part of it."""
    line = begin.split(b"\n", 1)[0]
    if not (line.startswith(b"#!") and line.endswith(b"\r")):
        return None
    name = line[2:].decode(errors="replace").strip(" \t")
    return Cause(
        f"its lines end with CR LF, as on Windows, so its interpreter is {name!r}, CR and all",
        f"save it with LF line ends, e.g. by: sed -i 's/\\r$//' {program}",
    )


def _cause_in_line(line: bytes) -> Cause | None:
    words = line[2:].split(maxsplit=1)
    if not words:
        return Cause("its first line names no interpreter", "begin it with e.g. #!/bin/sh")
    interpreter = os.fsdecode(words[0])
    fix = f"install {interpreter!r}, or correct the first line"
    if not os.path.exists(interpreter):
        return Cause(f"its interpreter {interpreter!r} is not there", fix)
    if os.path.isdir(interpreter) or not os.access(interpreter, os.X_OK):
        return Cause(f"its interpreter {interpreter!r} cannot be executed", fix)
    return None


def _too_long(argv: Sequence[str], env: Mapping[str, str]) -> Cause:
    """Which argument or variable is to blame, by its name: the value may be a secret."""
    sizes = [(len(os.fsencode(word)), f"argument {index}") for index, word in enumerate(argv)]
    sizes += [(len(os.fsencode(f"{name}={env[name]}")), f"variable {name}") for name in env]
    size, name = max(sizes)
    fix = "write large values into a file, and give the file's path"
    if size >= _LONGEST_STRING:
        return Cause(
            f"{name} has {size} bytes, and the system passes on fewer than {_LONGEST_STRING}", fix
        )
    total = sum(each + 1 for each, _ in sizes)
    return Cause(
        f"arguments and variables have {total} bytes together, {name} the most of them ({size}), "
        "and the system passes on a quarter of the limit of the stack",
        fix,
    )


def cause_of_exit(code: int, program: str, env: Mapping[str, str], cwd: Path) -> str:
    """What explains such an exit (126, 127, 2) of a command; empty when the program is in order.

    With limits a shell starts the command, and says of a start that fails what the system says.
    And what an interpreter line names may start, `env` or a shell with an option, and then
    complain of a name or option that ends with an unseen CR.
    """
    path = file_of(program, env, cwd)
    if path is None:
        return _not_found(program, env).error.message if code == NOT_FOUND else ""
    error = errno.ENOENT if code == NOT_FOUND else errno.EACCES
    cause = cause_in(path, error, _shown(path, program, None))
    return "; ".join(part for part in cause if part) if cause else ""
