"""`jobrunner doctor`: is everything fit to run jobs? `--repair` mends what the store has lost."""

from collections.abc import Sequence
from contextlib import suppress
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from jobrunner.cli.context import CliContext
from jobrunner.cli.group import cli_of
from jobrunner.errors import (
    ExitCode,
    IllegalTransition,
    ManifestError,
    NotPermitted,
    StoreUnavailable,
    UsageError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from jobrunner.daemon.plan import Plan
    from jobrunner.doctor.facts import HostFacts
    from jobrunner.doctor.finding import Finding
    from jobrunner.locate import Located
    from jobrunner.store.orphan import Orphan

LOOK_EVERY_S = 0.2


def doctor(
    ctx: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what is orphaned or damaged, after showing it.")
    ] = False,
    is_confirmed: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> ExitCode:
    cli = cli_of(ctx)
    located = cli.located()
    mended = _repair(cli, is_confirmed) if repair else []
    return _Examination(cli, located).tell(mended)


class _Examination:
    """One run of all checks."""

    def __init__(self, cli: CliContext, located: "Located") -> None:
        from jobrunner.daemon.plan import make_plan

        self._cli = cli
        self._located = located
        self._plan: Plan | None = None
        self._invalid: ManifestError | None = None
        self._orphans: list[Orphan] = []
        self._is_reachable = True
        try:
            self._plan = make_plan(located.manifest, cli.environ, cli.manifest().guard)
        except ManifestError as error:
            self._invalid = error

    def tell(self, mended: "Sequence[Orphan]") -> ExitCode:
        """Print the findings; the code says whether there is a problem."""
        from jobrunner.cli.render_doctor import doctor_json, findings_text
        from jobrunner.doctor.finding import Level

        findings = self._findings()
        if self._cli.json:
            self._cli.write_json(doctor_json(findings, self._orphans, mended))
        else:
            self._cli.write_styled(findings_text(findings, self._cli.has_colours(self._cli.stdout)))
        if not self._is_reachable:
            return ExitCode.UNREACHABLE
        has_problem = any(finding.level is Level.PROBLEM for finding in findings)
        return ExitCode.FAILED if has_problem else ExitCode.DONE

    def _findings(self) -> "list[Finding]":
        from msgspec.structs import replace

        from jobrunner.doctor.diagnosis import diagnose_host, unreachable
        from jobrunner.doctor.host import read_host

        zones = [cron.cron.timezone for cron in self._plan.crons] if self._plan else []
        manifest = self._plan.manifest if self._plan else None
        units = _units(self._cli, self._plan)
        host = read_host(self._located, manifest, self._invalid, zones, units)
        if self._plan is not None:
            host = replace(host, remarks=self._plan.remarks.warnings)
        findings = diagnose_host(host)
        try:
            return findings + self._store_findings(host)
        except StoreUnavailable as error:
            self._is_reachable = False
            return [*findings, unreachable(error)]

    def _store_findings(self, host: "HostFacts") -> "list[Finding]":
        from jobrunner.daemon.plan import published
        from jobrunner.doctor.diagnosis import diagnose_server, diagnose_store
        from jobrunner.doctor.store import read_server, read_store
        from jobrunner.doctor.store_checks import not_looked_at
        from jobrunner.store.connection import StoreConnection
        from jobrunner.store.damage import told
        from jobrunner.store.keys import Keys

        keys = Keys(self._located.name)
        settings = self._plan.manifest.store if self._plan else None
        on_disk = published(self._plan) if self._plan else None
        patience = self._cli.patience_with(self._located.address)
        told.hear(_pass_over)  # each has its finding
        with StoreConnection(self._located.address, patience=patience) as connection:
            try:
                server = read_server(connection, self._cli.clock, host, settings)
                findings = diagnose_server(server)
            except NotPermitted as error:
                findings = [not_looked_at("reachable", error.why or error.what)]
            store = connection.run(read_store(keys, on_disk))
        told.hear(None)
        self._orphans = store.orphans
        return [*findings, *diagnose_store(store)]


def _pass_over(_key: str) -> None:
    """Tell nothing."""


def _units(cli: CliContext, plan: "Plan | None") -> "list[tuple[Path, str]]":
    """Where the manifest's unit may be, for the system and for the user, and what it should say."""
    from jobrunner.cli.systemd import unit_folder, unit_settings
    from jobrunner.systemd import unit_name, unit_text

    if plan is None:
        return []
    name = unit_name(plan.manifest.name)
    units = []
    for is_user in (False, True):
        with suppress(UsageError):  # a user without a home
            file = unit_folder(is_user, cli.environ) / name
            units.append((file, unit_text(unit_settings(plan.manifest, is_user))))
    return units


def _repair(cli: CliContext, is_confirmed: bool) -> "list[Orphan]":
    """Show what is orphaned, ask, mend. Raises StoreUnavailable, IllegalTransition for a no."""
    from jobrunner.cli.render_doctor import orphans_text
    from jobrunner.store.audit import audit, mend

    store = cli.store()
    orphans = store.run(audit(store.keys))
    if not orphans:
        cli.note("nothing is orphaned or damaged")
        return []
    cli.note(orphans_text(orphans))
    if not is_confirmed and not cli.confirm(f"Mend these {len(orphans)}?"):
        raise IllegalTransition("nothing was mended", fix="answer y, or use --yes")
    mended = store.run(mend(store.keys, orphans))
    cli.has_acted = True
    _await_daemon(cli, mended)
    left = {orphan.what for orphan in orphans} - {orphan.what for orphan in mended}
    note = f"; {len(left)} came right by then, or must be left to a worker" if left else ""
    cli.note(f"mended {len(mended)}{note}")
    return mended


def _await_daemon(cli: CliContext, mended: "Sequence[Orphan]") -> None:
    """Until a daemon that lives has written anew what only daemons know, within its next beat."""
    from jobrunner.store.keyspace import Family, KeyReader
    from jobrunner.store.leases import LEASE_TTL, RENEW_EVERY, read_daemons, read_workers
    from jobrunner.store.orphan import Kind
    from jobrunner.store.published import is_published

    store = cli.store()
    away = {orphan.key for orphan in mended if orphan.kind in (Kind.WRONG_TYPE, Kind.DAMAGED)}
    reader = KeyReader(store.keys)
    families = {part.family for key in away if (part := reader.part(key))}
    is_awaited = families & {Family.DAEMONS, Family.DAEMON, Family.MANIFEST}
    if not is_awaited or not store.run(read_workers(store.keys)):
        return
    until = cli.clock.monotonic() + (LEASE_TTL * RENEW_EVERY).total_seconds() + 1
    while cli.clock.monotonic() < until:
        if store.run(is_published(store.keys)) and store.run(read_daemons(store.keys)):
            return
        sleep(LOOK_EVERY_S)
