"""Clients of the proxy in processes of their own, so that they can be killed."""

import subprocess
import sys

from jobrunner.store.address import StoreAddress
from jobrunner.store.requests import Command

PING = Command(("PING",))
TIMEOUT_S = 0.2  # of clients whose requests get no reply
WITHIN_S = 10.0

# A client in a process of its own: performs a pipeline of commands and (in lower case, with keys)
# scripts, then says so.
CLIENT = """
import sys
from jobrunner.store.address import StoreAddress
from jobrunner.store.connection import StoreConnection
from jobrunner.store.requests import Command, Pipeline, Script
connection = StoreConnection(StoreAddress("test", url=sys.argv[1]))
said = [words.split() for words in sys.argv[2:]]
commands = [Script(w[0], w[1:], ["jr", "q"]) if w[0].islower() else Command(tuple(w)) for w in said]
print("ready", flush=True)
sys.stdin.readline()
connection.execute(Pipeline(commands))
print("done", flush=True)
sys.stdin.readline()
"""


class Client:
    """A process that sends its commands in one piece when it is told to."""

    def __init__(self, address: StoreAddress, *commands: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(address.url), *commands],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        assert self.said() == "ready\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def said(self) -> str:
        """The next line; nothing when it has died."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(WITHIN_S)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
