"""`jobrunner run`: from a manifest's path to a daemon that has stopped."""

import os
import signal
import socket
import tempfile
from collections.abc import Mapping, MutableMapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import uvloop

from jobrunner import log
from jobrunner.clock import Clock, SystemClock
from jobrunner.daemon.plan import Plan, make_plan
from jobrunner.daemon.serverwatch import ServerWatch
from jobrunner.daemon.stopping import find_patience, short_patience
from jobrunner.daemon.supervisor import DaemonSettings, Supervisor
from jobrunner.embedded.binary import AUTO
from jobrunner.embedded.server import EmbeddedServer, Start
from jobrunner.errors import StoreUnavailable, UsageError
from jobrunner.locate import Located, note_endpoint
from jobrunner.log import EventLog
from jobrunner.notify import Notifier, take_notifier
from jobrunner.runner.cgroups.discovery import folder_name, give_up, prepare
from jobrunner.runner.descriptors import keep_descriptors
from jobrunner.runner.forks import STRAY
from jobrunner.runner.openfiles import DAEMON_NEEDS, limit, raise_limit
from jobrunner.state import DaemonLock, RunningDaemon, prepare_state_folder, state_folder
from jobrunner.store.address import StoreAddress
from jobrunner.store.checks import check_server
from jobrunner.store.connection import StoreConnection
from jobrunner.store.patience import Patience

TEMPORARY_FOLDERS = ("/tmp", "/var/tmp", "/usr/tmp")  # where Python looks after the variables


def run_daemon(settings: DaemonSettings, environ: MutableMapping[str, str]) -> None:
    """Run until stopped by a signal, or with `is_once` until nothing is left to do.

    Raises ManifestError, IllegalTransition when another daemon has the state folder, and
    StoreUnavailable.
    """
    keep_descriptors()
    log.configure(settings.log_level)
    _answer_early_signals()
    clock = SystemClock()
    settings = replace(settings, open_files=limit())
    raise_limit(DAEMON_NEEDS)
    with take_notifier(environ) as notifier, ExitStack() as stack:
        plan = make_plan(settings.manifest, environ, settings.guard)
        folder = _take_state_folder(plan, settings, environ, clock, stack)
        _have_temporary_folder(folder, environ)
        settings = _prepare_groups(settings, folder)
        stack.callback(give_up, settings.cgroups)
        address, watch = _open_store(plan, folder, settings, clock, stack)
        _note_endpoint(Located(settings.manifest, plan.manifest.name, folder, address), environ)
        _check(address, clock)
        _warn_of_short_patience(plan, environ)
        for remark in plan.remarks.warnings:
            EventLog().warning(remark.what, why=remark.why, fix=remark.fix)
        uvloop.run(_serve(settings, plan, address, watch, notifier, clock))


def _prepare_groups(settings: DaemonSettings, folder: Path) -> DaemonSettings:
    """Find out which control groups can be made; before the first process is started in them."""
    cgroups = prepare(folder_name(folder))
    if cgroups.missing:
        EventLog().info(
            "limits of some kinds hold for each process by itself",
            limits=" ".join(cgroups.missing),
            why=next(iter(cgroups.missing.values())),
        )
    return replace(settings, cgroups=cgroups)


def _answer_early_signals() -> None:
    """Until the supervisor listens: TERM takes the start back; HUP asks for what is under way."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGQUIT, _leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in STRAY:
        signal.signal(number, lambda *_: None)  # a program that is started gets the default again


def _leave(*_: object) -> None:
    raise SystemExit(0)


async def _serve(
    settings: DaemonSettings,
    plan: Plan,
    address: StoreAddress,
    watch: ServerWatch | None,
    notifier: Notifier,
    clock: Clock,
) -> None:
    await Supervisor(settings, plan, address, watch, notifier, clock).run()
    # The loop gives its signals back as it closes: one more TERM would kill this process before it
    # has stopped the embedded server.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def _take_state_folder(
    plan: Plan,
    settings: DaemonSettings,
    environ: Mapping[str, str],
    clock: Clock,
    stack: ExitStack,
) -> Path:
    folder = state_folder(plan.manifest.name, environ)
    advice = prepare_state_folder(folder, environ)
    if advice:
        EventLog().warning(advice)
    lock = stack.enter_context(DaemonLock(folder))
    lock.acquire(RunningDaemon(os.getpid(), socket.gethostname(), settings.manifest, clock.now()))
    return folder


def _have_temporary_folder(folder: Path, environ: MutableMapping[str, str]) -> None:
    """Take one in the state folder, for workers and jobs too, where no other can be written to."""
    named = [environ[name] for name in ("TMPDIR", "TEMP", "TMP") if environ.get(name)]
    # When all else fails Python takes the current folder, which is the user's own.
    with suppress(FileNotFoundError):
        if tempfile.gettempdir() in [*map(os.path.abspath, named), *TEMPORARY_FOLDERS]:
            return
    own = folder / "tmp"
    own.mkdir(mode=0o700, exist_ok=True)
    tempfile.tempdir = environ["TMPDIR"] = str(own)
    EventLog().warning(
        "no temporary folder can be written to; took one in the state folder",
        folder=own,
        why="tasks with `user` cannot give results back through it",
        fix="let the daemon write to /tmp, or set TMPDIR",
    )


def _note_endpoint(located: Located, environ: Mapping[str, str]) -> None:
    """For a quick start of the CLI; it does without where the note cannot be left."""
    try:
        note_endpoint(located, environ)
    except (OSError, UsageError) as error:
        EventLog().debug("could not note where the store is", error=error)


def _open_store(
    plan: Plan, folder: Path, settings: DaemonSettings, clock: Clock, stack: ExitStack
) -> tuple[StoreAddress, ServerWatch | None]:
    """The store's address; an embedded server is started, and stopped last of all."""
    name, store = plan.manifest.name, plan.manifest.store
    if store.url:
        return StoreAddress(name, url=store.url), None
    server = EmbeddedServer(folder, store.durability, store.server or AUTO)
    how = server.ensure()
    stack.callback(server.stop)
    EventLog().info(f"{how} the embedded server", pid=server.pid())
    if how is Start.ADOPTED:
        _replace_older(server, is_wanted=settings.upgrade_server)
    return server.address(name), ServerWatch(server, clock)


def _replace_older(server: EmbeddedServer, *, is_wanted: bool) -> None:
    """A server that outlived its daemon runs the program of that time: tell, or replace it."""
    try:
        standing = server.standing()
    except StoreUnavailable as error:
        EventLog().warning(f"would not start again: {error.what}", why=error.why, fix=error.fix)
        return
    if standing is None or not standing.is_outdated:
        return
    if not is_wanted:
        EventLog().warning(
            "adopted an embedded server with an old program",
            runs=standing.running,
            newer=standing.chosen,
            fix="`jobrunner stop`, then `jobrunner run`; or start with --upgrade-server",
        )
    elif server.replace():
        EventLog().info("replaced the embedded server", was=standing.running, now=standing.chosen)
    else:
        EventLog().error(
            "could not start the newer embedded server; the old one goes on",
            newer=standing.chosen,
            fix="server.log in the state folder says why",
        )


def _warn_of_short_patience(plan: Plan, environ: Mapping[str, str]) -> None:
    manifest = plan.manifest
    found = short_patience(manifest.workers.drain, manifest.longest_stop(), find_patience(environ))
    if found is not None:
        EventLog().warning(found.what, why=found.why, fix=found.fix)


def _check(address: StoreAddress, clock: Clock) -> None:
    """Refuse a server that would lose jobs; warn of what is unwise."""

    def tell() -> None:
        EventLog().warning("waiting for the store, which does not answer", store=address)

    with StoreConnection(address, patience=Patience(tell)) as connection:
        findings = check_server(connection, clock)
    for finding in findings:
        if finding.is_refusal:
            raise StoreUnavailable(finding.what, why=finding.why, fix=finding.fix)
        if finding.is_warning:
            EventLog().warning(finding.what, fix=finding.fix)
