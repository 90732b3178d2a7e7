"""The model tests have a server of their own: each example empties it."""

from tests.store.conftest import store_socket

__all__ = ["store_socket"]
