"""`jobrunner reload`: the daemon reads its manifest again."""

import signal
from datetime import timedelta

import typer

from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.cli.patience import eventually
from jobrunner.errors import IllegalTransition, ManifestError

# The daemon imports the manifest's modules anew, which may take as long as discovery allows.
GOOD_WITHIN = timedelta(seconds=35)
BAD_WITHIN = timedelta(seconds=3)  # of a daemon that cannot tell, as its store is away


def reload(ctx: typer.Context) -> None:
    from jobrunner.cli.daemons import find_daemon

    cli = cli_of(ctx)
    found = find_daemon(cli)
    before = _answers(cli, found.daemon.pid)
    found.send(signal.SIGHUP)
    problem = _problem(cli)
    within = GOOD_WITHIN if problem is None else BAD_WITHIN
    eventually(cli.clock, lambda: _answers(cli, found.daemon.pid) != before, within)
    if _answers(cli, found.daemon.pid)[0] == before[0]:
        # Its environment may differ from ours, so only its own answer counts; ours explains it.
        raise problem or IllegalTransition(
            "the daemon goes on with the manifest it had",
            why="a manifest with a problem, or another name or store, is refused as a whole",
            fix="the daemon's log tells the reason; `jobrunner validate` may, too",
        )
    if cli.json:
        cli.write_json({"pid": found.daemon.pid, "host": found.daemon.host})
    else:
        cli.write(f"daemon {found.daemon.pid} has reloaded {found.located.manifest}")


def _answers(cli: CliContext, pid: int) -> tuple[int, int]:
    """How many manifests the daemon has taken up, and how many it has refused."""
    from jobrunner.store.leases import read_daemons

    store = cli.store()
    entries = store.run(read_daemons(store.keys))
    found = ((entry.generation, entry.refused) for entry in entries if entry.pid == pid)
    return next(found, (0, 0))


def _problem(cli: CliContext) -> ManifestError | None:
    from jobrunner.daemon.plan import make_plan

    try:
        path, guard = cli.manifest()
        make_plan(path, cli.environ, guard)
    except ManifestError as error:
        return error
    return None
