"""One server for the session, as in the tests of the store."""

from tests.store.conftest import store_socket

__all__ = ["store_socket"]
