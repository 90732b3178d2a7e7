"""Functions that behave as their names say, for the tests of the runners."""

import asyncio
import ctypes
import functools
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobrunner import task
from jobrunner.context import Context


@task
def decorated() -> str:
    return "decorated"


def doubled(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return 2 * function(*args, **kwargs)

    return inner


def in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def inner(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)

    return inner


def to_sync(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(function(*args, **kwargs))

    return inner


@task
@doubled
def doubled_below(n: int) -> int:
    return n


@doubled
@task
def doubled_above(n: int) -> int:
    return n


@doubled
def doubled_alone(n: int) -> int:
    return n


@task
@in_thread
def threaded(n: int) -> int:
    return n


@task
@to_sync
async def made_sync(n: int) -> int:
    return n


@functools.singledispatch
def dispatched(n: int) -> int:
    return n


async def add(a: int, b: int = 1) -> int:
    return a + b


async def tell(ctx: Context) -> dict[str, Any]:
    return {"id": ctx.job_id, "attempt": ctx.attempt, "fence": ctx.fence, "task": ctx.task}


async def fail(text: str = "it broke") -> None:
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise ValueError(text) from error


async def leave() -> None:
    sys.exit(3)


async def unwritable() -> object:
    return object()


async def hang() -> None:
    print("up")
    await asyncio.sleep(1000)


async def cancels_itself() -> None:
    raise asyncio.CancelledError


async def ignore_cancellation(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue


async def chatter(name: str, rounds: int = 20) -> None:
    for number in range(rounds):
        print(name, number, sep=":")
        logging.getLogger("demo").info("%s", name)
        await asyncio.sleep(0)
    await asyncio.to_thread(print, f"{name}:thread")


async def report(ctx: Context, count: int) -> None:
    for number in range(count):
        ctx.progress({"step": number})
        await asyncio.sleep(0)


# For function hosts.


def _write_pid(path: Path, pid: int) -> None:
    """Whoever sees the file sees its content."""
    new = path.with_suffix(".new")
    new.write_text(str(pid))
    new.rename(path)


def sync_add(a: int, b: int = 1) -> int:
    return a + b


def sync_tell(ctx: Context) -> dict[str, Any]:
    ctx.progress(50)
    return {"id": ctx.job_id, "attempt": ctx.attempt, "pid": os.getpid()}


def sync_print(text: str) -> None:
    print(text)
    print(f"{text} to stderr", file=sys.stderr)
    logging.getLogger("demo").info("%s logged", text)
    subprocess.run(["echo", f"{text} from a child"], check=True)
    libc = ctypes.CDLL(None)
    libc.printf(b"%s from C\n", text.encode())


def sync_fail() -> None:
    raise ValueError("it broke")


def sync_exit(code: int) -> None:
    os._exit(code)


def sync_leave() -> None:
    sys.exit(3)


def sync_crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def sync_hang(folder: str) -> None:
    _write_pid(Path(folder, "host.pid"), os.getpid())
    try:
        time.sleep(1000)
    finally:
        Path(folder, "cleaned").touch()


def sync_hang_in_c(folder: str) -> None:
    """A C call that does not return, keeps the GIL and is not interrupted by a signal."""
    libc = ctypes.PyDLL(None)
    _write_pid(Path(folder, "host.pid"), os.getpid())
    mutex = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)


def sync_survive(chance: bool) -> None:
    if not chance:
        os._exit(3)


def sync_close_stdout(text: str) -> None:
    with sys.stdout as out:
        out.write(text)


def sync_fail_oddly() -> None:
    raise ValueError(os.fsdecode(b"gr\xfcn.txt"))


def sync_say(text: str) -> None:
    print(text)
    ctypes.CDLL(None).printf(b"%s from C\n", text.encode())


def sync_sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def sync_child(folder: str) -> None:
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    _write_pid(Path(folder, "child.pid"), child.pid)
    time.sleep(1000)


async def return_and_tell(text: str, ctx: Context) -> dict[str, str]:
    ctx.progress({"at": text})
    return {"got": text}


def sync_return_and_tell(text: str, ctx: Context) -> dict[str, str]:
    ctx.progress({"at": text})
    return {"got": text}


async def fail_long(text: str) -> None:
    raise ValueError("x" * 3_990 + text)


def sync_fail_long(text: str) -> None:
    raise ValueError("x" * 3_990 + text)


def open_files() -> int:
    """The soft limit of open files."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
