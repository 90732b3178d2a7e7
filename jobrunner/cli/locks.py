"""`jobrunner locks`: who holds what; `--break` frees a lock by force."""

from typing import Annotated

import typer

from jobrunner.cli.complete import lock_names
from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.errors import ExitCode, IllegalTransition, JobNotFound


def locks(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Option(
            "--break", metavar="LOCK", help="Free this lock by force.", autocompletion=lock_names
        ),
    ] = None,
    is_confirmed: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> ExitCode:
    cli = cli_of(ctx)
    if name is None:
        _list_locks(cli)
        return ExitCode.DONE
    return _break_lock(cli, name, is_confirmed)


def _list_locks(cli: CliContext) -> None:
    from jobrunner.store.locks import MOST_LOCKS, count_locks, read_locks

    store = cli.store()
    records = store.run(read_locks(store.keys))
    if len(records) == MOST_LOCKS and (left := store.run(count_locks(store.keys)) - MOST_LOCKS) > 0:
        cli.note(f"… {left:,} more locks are held or waited for")
    if cli.json:
        from jobrunner.cli.render_json import lock_json

        cli.write_json([lock_json(lock) for lock in records])
    else:
        from jobrunner.cli.render_tables import locks_table

        cli.print(lambda width: locks_table(records, cli.clock.now(), width))


def _break_lock(cli: CliContext, name: str, is_confirmed: bool) -> ExitCode:
    from jobrunner.store.locks import break_lock, read_lock

    store = cli.store()
    holders = [holder.job_id for holder in store.run(read_lock(store.keys, name)).holders]
    if not holders:
        raise JobNotFound(f"no lock '{name}' is held", fix="`jobrunner locks` lists those that are")
    if not is_confirmed and not cli.confirm(
        f"Break lock '{name}'? It is held by {', '.join(holders)}, which will be stopped."
    ):
        raise IllegalTransition(f"lock '{name}' was not broken", fix="answer y, or use --yes")
    freed = store.run(break_lock(store.keys, name))
    cli.has_acted = True
    if cli.json:
        cli.write_json({"name": name, "holders": freed})
    else:
        cli.write(f"broke lock '{name}'; its holders were {', '.join(freed) or 'gone already'}")
    return ExitCode.DONE
