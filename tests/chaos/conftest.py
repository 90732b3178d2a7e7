"""The proxy stands before a server; daemons go through it."""

from tests.daemon.conftest import cleanup, project, server
from tests.store.conftest import address, connection, keys, socket_path, store_socket

__all__ = [
    "address",
    "cleanup",
    "connection",
    "keys",
    "project",
    "server",
    "socket_path",
    "store_socket",
]
