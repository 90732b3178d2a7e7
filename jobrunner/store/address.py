"""Where the store is: a URL or the embedded server's socket. A password is never shown.

The URLs are those of redis-py: `redis://`, `rediss://` (TLS) and `unix://`, with user,
password, database and options.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from jobrunner.errors import UsageError

if TYPE_CHECKING:
    from ssl import SSLContext

DEFAULT_PORT = 6379
TIMEOUT_S = 10.0  # for a reply, beyond what a blocking read may wait at the server
CONNECT_TIMEOUT_S = 5.0
HIDDEN = "***"

TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "ssl_keyfile",
    "ssl_min_version",
    "ssl_password",
)
OPTIONS = (
    "client_name",
    "db",
    "password",
    "socket_connect_timeout",
    "socket_timeout",
    "username",
    *TLS_OPTIONS,
)
SCHEMES = ("redis", "rediss", "unix")
VERIFY_MODES = ("required", "optional", "none")
FALSE_WORDS = ("0", "false", "no", "n", "f")
SECRET_OPTIONS = frozenset({"password", "ssl_password"})


@dataclass(frozen=True, slots=True, repr=False)
class StoreAddress:
    """A namespace and its server: `url`, or `socket` of the embedded server (exactly one)."""

    name: str
    url: str | None = None
    socket: str | None = None

    @property
    def is_embedded(self) -> bool:
        return self.socket is not None

    @property
    def display(self) -> str:
        """The server's address without its password, for messages."""
        if self.url is None:
            return f"unix://{self.socket}"
        return _without_secrets(self.url)

    @property
    def mark(self) -> str:
        """Tells this namespace of this server from all others; says neither name nor address.

        Every process of a daemon carries it. It is no secret: it must only come from the daemon's
        own settings, never from the store.
        """
        return sha256(f"{self.name}\0{self.display}".encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return self.display

    def __repr__(self) -> str:
        return f"StoreAddress(name={self.name!r}, {self.display})"

    def endpoint(self, timeout: float | None = None) -> Endpoint:
        """What a connection needs to know; `timeout` (seconds) instead of the address's own.

        To connect may not take longer either. Raises UsageError for a URL that cannot be used.
        """
        parsed = (
            Endpoint(path=self.socket, is_own=True) if self.url is None else parse_url(self.url)
        )
        if timeout is None:
            return parsed
        connect_timeout = min(timeout, parsed.connect_timeout)
        return replace(parsed, timeout=timeout, connect_timeout=connect_timeout)


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """The parts of a URL; `path` of a Unix socket, or `host` and `port`. Times in seconds."""

    path: str | None = None
    is_own: bool = False  # of the embedded server: only this user or root may listen there
    host: str = "localhost"
    port: int = DEFAULT_PORT
    db: int = 0
    username: str | None = None
    password: str | None = None
    client_name: str | None = None
    timeout: float = TIMEOUT_S
    connect_timeout: float = CONNECT_TIMEOUT_S
    tls: TlsOptions | None = None

    def handshake(self) -> list[tuple[str | int, ...]]:
        """The commands that open a session; none for the embedded server."""
        commands: list[tuple[str | int, ...]] = []
        if self.password is not None:
            user = () if self.username is None else (self.username,)
            commands.append(("AUTH", *user, self.password))
        if self.client_name:
            commands.append(("CLIENT", "SETNAME", self.client_name))
        if self.db:
            commands.append(("SELECT", self.db))
        return commands


@dataclass(frozen=True, slots=True, repr=False)
class TlsOptions:
    """How the server proves who it is, and we who we are. By default it must prove it."""

    verify: str = "required"  # or: optional, none
    check_hostname: bool = True
    ca_certs: str | None = None
    ca_path: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    password: str | None = None  # of the key file
    min_version: int | None = None  # of `ssl.TLSVersion`

    def context(self) -> SSLContext:
        """Raises OSError (also ssl.SSLError) when a certificate file cannot be used."""
        import ssl

        modes = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL}
        context = ssl.create_default_context(cafile=self.ca_certs, capath=self.ca_path)
        mode = modes.get(self.verify, ssl.CERT_NONE)
        context.check_hostname = self.check_hostname and mode is not ssl.CERT_NONE
        context.verify_mode = mode
        if self.min_version is not None:
            context.minimum_version = ssl.TLSVersion(self.min_version)
        if self.certfile is not None:
            context.load_cert_chain(self.certfile, self.keyfile, self.password)
        return context


def parse_url(url: str) -> Endpoint:
    """The parts of a store URL. Raises UsageError, which never quotes the password."""
    parts, port = _split(url)
    options = _options(parts)
    common = Endpoint(
        username=unquote(parts.username) if parts.username else options.get("username"),
        password=unquote(parts.password) if parts.password else options.get("password"),
        client_name=options.get("client_name"),
        db=_number("db", options, _database(parts)),
        timeout=_seconds("socket_timeout", options, TIMEOUT_S),
        connect_timeout=_seconds("socket_connect_timeout", options, CONNECT_TIMEOUT_S),
    )
    if parts.scheme == "unix":
        return replace(common, path=_socket_path(parts))
    tls = _tls(options) if parts.scheme == "rediss" else None
    return replace(common, host=unquote(parts.hostname or "localhost"), port=port, tls=tls)


def _split(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
    except ValueError:
        # Not chained: the message could quote a piece of the password.
        raise _unreadable() from None
    if _has_unquoted_sign(parts):
        raise _unreadable()
    if parts.scheme not in SCHEMES:
        raise UsageError(
            "the store's URL has no scheme that is known",
            why="the store is a Redis or Valkey server",
            fix="write redis://host:6379/0, rediss:// for TLS, or unix:///path/to/socket",
        )
    return parts, port


def _has_unquoted_sign(parts: SplitResult) -> bool:
    """Whether a password was cut at a `/`, `?` or `#` of its own: `redis://:12/rest@host`."""
    behind = parts.query + parts.fragment + ("" if parts.scheme == "unix" else parts.path)
    return "@" in behind or bool(parts.fragment)


def _unreadable() -> UsageError:
    return UsageError(
        "the store's URL cannot be read",
        why="its port or brackets are wrong, or a sign in the password is not quoted",
        fix="write redis://user:password@host:6379/0, and in the password %40 for @, "
        "%3A for :, %2F for /",
    )


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query))
    for name in options:
        if name not in OPTIONS:
            near = get_close_matches(name, OPTIONS, n=1)
            raise UsageError(
                f"unknown option {name!r} in the store's URL",
                why=f"the options are {', '.join(OPTIONS)}",
                fix=f"rename it to {near[0]!r}" if near else "remove it",
            )
    return options


def _database(parts: SplitResult) -> int:
    """The database in the path of a TCP URL, as in `redis://host/2`."""
    digits = parts.path.strip("/")
    if parts.scheme == "unix" or not digits:
        return 0
    if digits.isdigit():
        return int(digits)
    raise UsageError(
        f"{digits!r} in the store's URL is not a database",
        why="the path of the URL is the number of the database",
        fix="write a number, such as /0, or leave it out",
    )


def _socket_path(parts: SplitResult) -> str:
    if parts.path and not parts.hostname:
        return unquote(parts.path)
    raise UsageError(
        "the store's unix:// URL has no absolute path",
        why="a socket's path starts with /, so the URL has three slashes",
        fix="write unix:///run/valkey/valkey.sock",
    )


def _tls(options: dict[str, str]) -> TlsOptions:
    verify = options.get("ssl_cert_reqs", "required")
    if verify not in VERIFY_MODES:
        raise _wrong_value("ssl_cert_reqs", f"one of {', '.join(VERIFY_MODES)}")
    return TlsOptions(
        verify=verify,
        check_hostname=options.get("ssl_check_hostname", "true").lower() not in FALSE_WORDS,
        ca_certs=options.get("ssl_ca_certs"),
        ca_path=options.get("ssl_ca_path"),
        certfile=options.get("ssl_certfile"),
        keyfile=options.get("ssl_keyfile"),
        password=options.get("ssl_password"),
        min_version=_number("ssl_min_version", options, 0) or None,
    )


def _number(option: str, options: dict[str, str], default: int) -> int:
    text = options.get(option)
    if text is None:
        return default
    if not text.isdecimal():
        raise _wrong_value(option, "a whole number")
    return int(text)


def _seconds(option: str, options: dict[str, str], default: float) -> float:
    text = options.get(option)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        raise _wrong_value(option, "a number of seconds") from None
    if not 0 < seconds < float("inf"):
        raise _wrong_value(option, "a number of seconds above 0")
    return seconds


def _wrong_value(option: str, expected: str) -> UsageError:
    return UsageError(
        f"the value of {option} in the store's URL is wrong",
        why=f"it has to be {expected}",
        fix="correct it, or remove the option",
    )


def _without_secrets(url: str) -> str:
    """The URL with its password and secret options hidden; nothing of a URL that is unreadable."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return HIDDEN
    if parts.scheme not in SCHEMES or _has_unquoted_sign(parts):
        return HIDDEN
    user = f"{parts.username or ''}:{HIDDEN}@" if parts.password else ""
    if parts.username and not parts.password:
        user = f"{parts.username}@"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    where = f"{host}:{port}" if port else host
    query = "&".join(
        f"{name}={HIDDEN if name in SECRET_OPTIONS else value}"
        for name, value in parse_qsl(parts.query)
    )
    return f"{parts.scheme}://{user}{where}{parts.path}{'?' + query if query else ''}"
