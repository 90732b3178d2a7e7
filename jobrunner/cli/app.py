"""The CLI's entry and its one error boundary: an error becomes a message and an exit code."""

import errno
import os
import sys
import traceback
from collections.abc import Sequence

import typer
from typer._click import Command

from jobrunner.cli.context import CliContext
from jobrunner.cli.group import build_group
from jobrunner.cli.streams import open_streams, output_file
from jobrunner.cli.usage import translated
from jobrunner.errors import ExitCode, JobrunnerError, UsageError

# What a machine may lack, and what helps.
WANTS = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room within this user's quota",
    errno.EROFS: "name a folder that can be written to, e.g. by JOBRUNNER_STATE",
    errno.EACCES: "give this user the right to it",
    errno.EPERM: "give this user the right to it",
    errno.EMFILE: "raise the limit of open files: `ulimit -n`",
    errno.ENFILE: "close files: the whole machine is at its limit",
    errno.ENOMEM: "free some memory",
    errno.EAGAIN: "end some processes or threads: this user is at its limit",
    errno.EIO: "look at the disk or terminal: it fails",
}
COMPLETION_VARIABLE = "_JOBRUNNER_COMPLETE"  # set by the shells' completion scripts


def main() -> None:
    """The console script `jobrunner`."""
    open_streams()
    sys.exit(run(sys.argv[1:], CliContext()))


def run(args: Sequence[str], cli: CliContext) -> int:
    """Run one command line; returns its exit code. Raises SystemExit only while completing."""
    try:
        code = _exit_code(args, cli)
        cli.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        return ExitCode.DONE  # the reader, e.g. `head`, has all it wants
    finally:
        cli.close()
    return _told(code, cli)


def _told(code: int, cli: CliContext) -> int:
    """The exit code, once it is said what stdout did not take.

    What was done stays done: a job that was made must not be made again because of that.
    """
    file = output_file(cli.stdout)
    if file is None or file.failure is None or not file.unwritten:
        return code
    what = f"cannot write to stdout: {file.failure.strerror}"
    if code == ExitCode.DONE and not cli.has_acted:
        fix = "give it a stdout with room; /dev/null is one"
        return _report(JobrunnerError(what, fix=fix), cli)
    text = file.unwritten.decode(errors="replace").rstrip()
    cli.note(f"warning: {what}. It is done; the output was:\n{text}")
    return code


def _exit_code(args: Sequence[str], cli: CliContext) -> int:
    try:
        return _dispatch(args, cli)
    except typer.TyperException as error:
        return _report(translated(error), cli)
    except JobrunnerError as error:
        return _report(error, cli)
    except typer.Exit as exit_request:
        return exit_request.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except UnicodeEncodeError:
        return _report(_not_text(), cli)
    except BrokenPipeError:
        raise
    except Exception as error:  # the boundary: whatever else happens is a bug, and is told as one
        strange = _strange_data(error) or _want(error)
        return _report(strange, cli) if strange else _report_bug(cli)


def _dispatch(args: Sequence[str], cli: CliContext) -> int:
    group = build_group()
    instruction = cli.environ.get(COMPLETION_VARIABLE)
    if instruction is not None:
        return _complete(group, cli, instruction)
    with group.make_context("jobrunner", list(args), obj=cli) as ctx:
        return int(group.invoke(ctx) or ExitCode.DONE)


def _complete(group: Command, cli: CliContext, instruction: str) -> int:
    """Answer a shell: with offers, or with nothing. An error would stand in the line typed."""
    from jobrunner.cli.bash import BashCompletion
    from jobrunner.cli.shells import Completion, FishCompletion, ZshCompletion

    # The scripts that earlier versions wrote for zsh and fish evaluate what they are told; they ask
    # for `complete_zsh` and `complete_fish`, and get no answer.
    shells: dict[str, type[Completion]] = {
        "complete_bash": BashCompletion,
        "offers_zsh": ZshCompletion,
        "offers_fish": FishCompletion,
    }
    try:
        shell = shells.get(instruction)
        offers = shell(group, cli, COMPLETION_VARIABLE).complete() if shell else ""
    except Exception:  # whatever it is: the command itself will tell it
        return ExitCode.FAILED
    if offers:
        cli.write(offers)
    return ExitCode.DONE


def _strange_data(error: Exception) -> JobrunnerError | None:
    """What it means that the store holds another kind of value than jobrunner writes."""
    from jobrunner.errors import StoreUnavailable
    from jobrunner.store.failures import ReplyError

    if not isinstance(error, ReplyError) or error.code != "WRONGTYPE":
        return None
    return StoreUnavailable(
        "the store has a key that jobrunner did not write like this",
        why=f"it says: {error}",
        fix="`jobrunner doctor` names the key and `jobrunner doctor --repair` mends it; if another "
        "program writes there, give the daemon a namespace of its own by `name` in the manifest",
    )


def _want(error: Exception) -> JobrunnerError | None:
    """What it means that the machine refuses: no fault of the command, and no bug."""
    if not isinstance(error, OSError):
        return None
    has_no_folder = "temporary directory" in str(error)  # what `tempfile` says
    if error.errno not in WANTS and not has_no_folder:
        return None
    where = f": {error.filename}" if error.filename else ""
    fix = "let this user write to /tmp, or set TMPDIR" if has_no_folder else WANTS[error.errno or 0]
    return JobrunnerError(f"the system refuses: {error.strerror or error}{where}", fix=fix)


def _not_text() -> UsageError:
    """An argument has bytes that are no UTF-8: no name, parameter or message can hold them."""
    return UsageError(
        "an argument is not UTF-8 text",
        why="names and parameters are kept in the store as UTF-8",
        fix="write it in UTF-8; give bytes to a job by a file",
    )


def _report(error: JobrunnerError, cli: CliContext) -> int:
    if cli.debug:
        cli.note(traceback.format_exc().rstrip())
    cli.note_error(error)
    return error.exit_code


def _report_bug(cli: CliContext) -> int:
    cli.note(traceback.format_exc().rstrip())
    bug = JobrunnerError(
        "this is a bug in jobrunner",
        why="the traceback above was not foreseen; nothing was hidden by it",
        fix="please report it with the traceback and the command line",
    )
    cli.note_error(bug)
    return bug.exit_code


def _forget_stdout() -> None:
    """Keep the interpreter's last flush from failing on the closed pipe again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
