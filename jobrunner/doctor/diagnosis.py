"""The table of checks: facts in, one finding per check out. Pure."""

from jobrunner.doctor.facts import HostFacts, ServerReport, StoreReport
from jobrunner.doctor.finding import Finding, problem
from jobrunner.doctor.host_checks import HOST_CHECKS
from jobrunner.doctor.server_checks import SERVER_CHECKS, fitness
from jobrunner.doctor.store_checks import STORE_CHECKS
from jobrunner.errors import StoreUnavailable


def diagnose_host(facts: HostFacts) -> list[Finding]:
    return [check(facts) for check in HOST_CHECKS]


def diagnose_server(report: ServerReport) -> list[Finding]:
    return [*fitness(report), *(check(report) for check in SERVER_CHECKS)]


def diagnose_store(report: StoreReport) -> list[Finding]:
    return [check(report) for check in STORE_CHECKS]


def unreachable(error: StoreUnavailable) -> Finding:
    """The finding in place of all those that the store would have told."""
    why = error.why or "nothing can be said of its jobs"
    return problem("reachable", error.what, why, error.fix or "start the server or the daemon")
