"""Store URLs, and that their passwords are never shown."""

import ssl
import traceback

import pytest

from jobrunner.errors import UsageError
from jobrunner.store.address import Endpoint, StoreAddress, TlsOptions, parse_url


def parts(endpoint: Endpoint) -> tuple[object, ...]:
    return (endpoint.path or endpoint.host, endpoint.username, endpoint.password, endpoint.db)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", ("localhost", None, None, 0)),
        ("redis://db.example/3", ("db.example", None, None, 3)),
        ("redis://[::1]:7000", ("::1", None, None, 0)),
        ("redis://:p%40ss%2F@db", ("db", None, "p@ss/", 0)),
        ("redis://ann:pw@db?db=2", ("db", "ann", "pw", 2)),
        ("rediss://db?password=pw&username=ann", ("db", "ann", "pw", 0)),
        ("unix:///run/valkey.sock?db=1", ("/run/valkey.sock", None, None, 1)),
        ("unix://ann:pw@/run/a%20b", ("/run/a b", "ann", "pw", 0)),
    ],
)
def test_a_url_names_server_user_and_database(url: str, expected: tuple[object, ...]) -> None:
    assert parts(parse_url(url)) == expected


def test_a_port_is_that_of_redis_unless_given() -> None:
    assert parse_url("redis://db").port == 6379
    assert parse_url("redis://db:7000").port == 7000


def test_timeouts_come_from_the_url_or_the_caller() -> None:
    address = StoreAddress("shop", url="redis://db?socket_timeout=3&socket_connect_timeout=0.5")

    assert (address.endpoint().timeout, address.endpoint().connect_timeout) == (3, 0.5)
    assert (address.endpoint(1).timeout, address.endpoint(1).connect_timeout) == (1, 0.5)
    assert (address.endpoint(0.2).timeout, address.endpoint(0.2).connect_timeout) == (0.2, 0.2)


def test_tls_proves_the_server_unless_told_otherwise() -> None:
    strict = parse_url("rediss://db").tls
    lenient = parse_url("rediss://db?ssl_cert_reqs=none&ssl_min_version=772").tls

    assert strict is not None
    assert (strict.context().verify_mode, strict.context().check_hostname) == (
        ssl.CERT_REQUIRED,
        True,
    )
    assert lenient is not None
    assert lenient.context().verify_mode is ssl.CERT_NONE
    assert lenient.context().minimum_version is ssl.TLSVersion.TLSv1_3
    assert parse_url("redis://db").tls is None


def test_tls_takes_files_of_certificates() -> None:
    options = parse_url(
        "rediss://db?ssl_ca_certs=ca.pem&ssl_certfile=me.pem&ssl_keyfile=me.key"
    ).tls

    assert options == TlsOptions(ca_certs="ca.pem", certfile="me.pem", keyfile="me.key")


def test_the_commands_that_open_a_session_follow_from_the_url() -> None:
    assert parse_url("redis://ann:pw@db/2?client_name=me").handshake() == [
        ("AUTH", "ann", "pw"),
        ("CLIENT", "SETNAME", "me"),
        ("SELECT", 2),
    ]
    assert parse_url("redis://:pw@db").handshake() == [("AUTH", "pw")]
    assert StoreAddress("shop", socket="/run/s").endpoint().handshake() == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://db", "no scheme that is known"),
        ("db:6379", "no scheme that is known"),
        ("redis://db:port", "cannot be read"),
        ("redis://db:99999", "cannot be read"),
        ("redis://db/zero", "'zero'"),
        ("redis://db?db=x", "value of db"),
        ("redis://db?socket_timeout=0", "value of socket_timeout"),
        ("redis://db?socket_timeout=soon", "value of socket_timeout"),
        ("redis://db?ssl_cert_req=none", "unknown option 'ssl_cert_req'"),
        ("rediss://db?ssl_cert_reqs=maybe", "value of ssl_cert_reqs"),
        ("unix://run/valkey.sock", "no absolute path"),
    ],
)
def test_a_wrong_url_is_refused_with_its_cure(url: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_url(url)

    assert words in refused.value.what
    assert refused.value.fix


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@db/0",
        "rediss://ann:s3cret@db:7000?client_name=x",
        "redis://db?password=s3cret",
        "rediss://db?ssl_password=s3cret",
        "unix://:s3cret@/run/s",
        "redis://:s3cret/@db",  # a sign that should have been quoted
        "redis://ann:s3cret]@db",
        "redis://:12/s3cret@db",
        "redis://:12?s3cret=1@db",
        "redis://:12#s3cret@db",
        "s3cret",
        "ann:s3cret@db:6379",
        "//ann:s3cret@db:6379",
    ],
)
def test_a_password_is_shown_nowhere(url: str) -> None:
    address = StoreAddress("shop", url=url)

    shown = f"{address} {address!r} {address.display}"
    try:
        shown += repr(address.endpoint())
    except UsageError:
        shown += traceback.format_exc()

    assert "s3cret" not in shown


def test_what_is_no_secret_is_shown() -> None:
    url = "rediss://ann:pw@db:7000/2?client_name=x&password=pw"

    assert str(StoreAddress("shop", url=url)) == (
        "rediss://ann:***@db:7000/2?client_name=x&password=***"
    )
    assert str(StoreAddress("shop", socket="/run/s")) == "unix:///run/s"
