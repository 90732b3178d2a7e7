"""Servers on Unix and TCP sockets that do what a real one does only in trouble."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CERTIFICATE = Path(__file__).parent / "tls" / "localhost.pem"
Conversation = Callable[[socket.socket], None]


@contextmanager
def serve(listener: socket.socket, conversation: Conversation) -> Iterator[None]:
    """Hold the conversation with each client that connects, until the block ends."""

    def accept() -> None:
        with suppress(OSError):  # the listener is closed in the end
            while True:
                client, _ = listener.accept()
                threading.Thread(target=converse, args=[client], daemon=True).start()

    def converse(client: socket.socket) -> None:
        with client, suppress(OSError):
            conversation(client)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def unix_server(path: str, conversation: Conversation) -> Iterator[None]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    with serve(listener, conversation):
        yield


@contextmanager
def tls_server(store_socket: str) -> Iterator[int]:
    """The real server behind TLS; gives the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    listener = socket.create_server(("localhost", 0))

    def forward(client: socket.socket) -> None:
        with (
            context.wrap_socket(client, server_side=True) as inner,
            socket.socket(socket.AF_UNIX) as server,
        ):
            server.connect(store_socket)
            while request := inner.recv(65536):
                server.sendall(request)
                inner.sendall(server.recv(65536))

    with serve(listener, forward):
        yield listener.getsockname()[1]
