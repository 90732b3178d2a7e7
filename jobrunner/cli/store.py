"""The store as commands use it: connected at its first use, closed with the command."""

from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.keys import Keys
from jobrunner.store.lookup import find_id
from jobrunner.store.patience import Patience
from jobrunner.store.requests import Operation

if TYPE_CHECKING:
    from jobrunner.client.sync import Client

T = TypeVar("T")


class OpenStore:
    """A namespace on its server: performs operations, and has a client for submits and waits."""

    def __init__(
        self,
        address: StoreAddress,
        timeout: float | None = None,
        patience: Patience | None = None,
    ) -> None:
        """`timeout` of what is not the client's, seconds, instead of the address's own."""
        self.address = address
        self.keys = Keys(address.name)
        self._patience = patience
        self._connection = StoreConnection(address, timeout, patience=patience)

    @cached_property
    def client(self) -> "Client":
        """For submits, and for waiting until jobs end."""
        from jobrunner.client.sync import Client

        address = self.address
        return Client(address.name, address.url, socket=address.socket, patience=self._patience)

    def run(self, operation: Operation[T]) -> T:
        """Perform an operation. Raises StoreUnavailable."""
        return self._connection.run(operation)

    def job_id(self, text: str) -> str:
        """The id meant by an id, a unique prefix, `@last` or `@last:<task>`. Raises JobNotFound."""
        return self.run(find_id(self.keys, text))

    def job_ids(self, texts: list[str]) -> list[str]:
        """The same for several, in order, each once; all are looked up before anything is done."""
        return list(dict.fromkeys(self.job_id(text) for text in texts))

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()
        if "client" in self.__dict__:
            self.client.close()
