"""What a failing server or network means for the user: errors with what, why and fix."""

import errno
import socket

from jobrunner.errors import NotPermitted, StoreFull, StoreUnavailable
from jobrunner.store.address import StoreAddress

TIMEOUTS = (TimeoutError, BlockingIOError)  # of Python's sockets, of the kernel's


class ReplyError(Exception):
    """An error reply of the server that is no outage: a mistake in our commands or scripts.

    Scripts of our own reply with codes that start with `JR`.
    """

    @property
    def code(self) -> str:
        """The first word, e.g. `WRONGTYPE`."""
        return str(self).partition(" ")[0]


class DamagedKey(StoreUnavailable):
    """What is asked for needs a key that something else has written to."""


class BrokenReply(Exception):
    """The server did not answer in the protocol of Redis, or closed the connection."""


_NO_RIGHT = (
    "refuses this to its user",
    "give the user the rights of its role, as docs/acl.md lists them",
)
# By the code of the reply: what the server does, and how to mend it.
_REFUSALS = {
    "NOAUTH": ("asks for a password", "put it into store.url: redis://:password@host:6379/0"),
    "WRONGPASS": ("refuses the user or password", "correct them in store.url"),
    "NOPERM": _NO_RIGHT,
    "LOADING": ("is still loading its data", "wait until it has started, then try again"),
    "OOM": (
        "is full",
        "raise maxmemory, shorten `retention` in the manifest, or wait; what is queued goes on",
    ),
    "MISCONF": (
        "refuses writes because it cannot save to disk",
        "make room on the server's disk, and look at its log",
    ),
    "READONLY": ("is a read-only replica", "name the primary in store.url"),
    "UNBLOCKED": ("has become a replica meanwhile", "name the primary in store.url"),
    "MASTERDOWN": ("is a replica without its primary", "start the primary, or promote this one"),
    "CLUSTERDOWN": ("belongs to a cluster that is down", "repair the cluster"),
    "MOVED": ("belongs to a cluster", "name a single server, or a proxy, in store.url"),
    "BUSY": ("is busy with a script", "try again; SCRIPT KILL at the server ends the script"),
    "NOREPLICAS": ("has too few replicas to write", "start the replicas"),
}
_UNKNOWN_COMMAND = (
    "does not know a command",
    "use Valkey, or Redis 7.2 or newer",
)
# By the beginning of an `ERR …` reply.
_ERR_REFUSALS = {
    "ERR unknown command": _UNKNOWN_COMMAND,
    "ERR Unknown Redis command": _UNKNOWN_COMMAND,
    "ERR unknown subcommand": _UNKNOWN_COMMAND,
    "ERR ACL failure in script": _NO_RIGHT,
    "ERR max number of clients": (
        "has too many clients",
        "raise maxclients at the server, or close other clients",
    ),
    "ERR invalid password": _REFUSALS["WRONGPASS"],
    "ERR AUTH <password> called": ("has no password", "remove the password from store.url"),
    "ERR Client sent AUTH": ("has no password", "remove the password from store.url"),
    "ERR DB index": ("has no such database", "correct the number of the database in store.url"),
}
# The session is of no use any more: another server may answer under the same name.
STALE_CODES = frozenset({"READONLY", "UNBLOCKED", "MASTERDOWN", "NOAUTH"})


_KINDS = {"OOM": StoreFull}


def refusal(error: ReplyError, address: StoreAddress) -> StoreUnavailable | None:
    """The outage that an error reply tells of; None for a mistake of ours."""
    text = str(error)
    found = _REFUSALS.get(error.code)
    if found is None:
        found = next((f for start, f in _ERR_REFUSALS.items() if text.startswith(start)), None)
    if found is None:
        return None
    what, fix = found
    kind = NotPermitted if found is _NO_RIGHT else _KINDS.get(error.code, StoreUnavailable)
    return kind(f"the store at {address} {what}", why=f"it says: {text}", fix=fix)


def outage(error: Exception, address: StoreAddress) -> StoreUnavailable:
    """The error for a server that cannot be reached, or was lost."""
    if isinstance(error, PermissionError):
        return StoreUnavailable(
            f"the store at {address} cannot be opened: permission denied",
            why="its socket belongs to another user",
            fix="run as the user of the daemon, e.g. with `sudo -u USER`",
        )
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return StoreUnavailable(
            f"the store at {address} cannot be reached: {error.strerror}",
            why="this process, or the whole machine, has no descriptor left for a connection",
            fix="raise the limit of open files, e.g. LimitNOFILE= of the unit",
        )
    if address.is_embedded and isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return StoreUnavailable(
            "the daemon is not running",
            why=f"nothing answers at {address.socket}",
            fix="start it with `jobrunner run`",
        )
    if isinstance(error, TIMEOUTS):
        return _no_answer(address)
    if address.is_embedded:
        return StoreUnavailable(
            f"the embedded server was lost: {_network_reason(error)[0]}",
            why=f"it was reached at {address.socket}",
            fix="the daemon starts it again; server.log in the state folder may say why it ended",
        )
    why, fix = _network_reason(error)
    return StoreUnavailable(f"the store at {address} cannot be reached: {why}", fix=fix)


def is_server_away(error: StoreUnavailable) -> bool:
    """Whether no server serves there: nothing listens, or it is still loading its data.

    Not a network that is cut, or a server that hangs: then others may be served.
    """
    cause = error.__cause__
    if isinstance(cause, ReplyError):
        return cause.code == "LOADING"
    return isinstance(cause, ConnectionRefusedError | FileNotFoundError)


def _no_answer(address: StoreAddress) -> StoreUnavailable:
    """A server that lives and says nothing, or a network that drops what is sent."""
    if address.is_embedded:
        return StoreUnavailable(
            "the embedded server gives no answer in time",
            why=f"it takes connections at {address.socket}; it may be stopped, or swamped",
            fix="`jobrunner stop`, then start the daemon again: it replaces a server that hangs",
        )
    return StoreUnavailable(
        f"the store at {address} cannot be reached: no answer in time",
        why="the server may be stopped or swamped, or the network drops what is sent",
        fix="check the server, its load, and the network",
    )


def _network_reason(error: Exception) -> tuple[str, str]:
    """Why the network failed, and the fix."""
    if isinstance(error, socket.gaierror):
        return f"its name cannot be resolved ({error.strerror})", "check the host in store.url"
    if isinstance(error, BrokenReply):
        return str(error), "check that host, port and redis:// or rediss:// in store.url fit"
    if isinstance(error, TIMEOUTS):
        return "no answer in time", "check the network and the server's load"
    if isinstance(error, ConnectionRefusedError | FileNotFoundError):
        return "nothing listens there", "start the server, or correct store.url"
    if _is_tls(error):
        return (
            f"TLS failed ({error})",
            "check the certificate, ssl_ca_certs in store.url, and that the server speaks TLS",
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return reason or type(error).__name__, "check the network and the server's log"


def _is_tls(error: Exception) -> bool:
    """By name, so that the ssl module is not loaded for a message."""
    return any(kind.__name__ == "SSLError" for kind in type(error).__mro__)
