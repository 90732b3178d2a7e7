"""Variables that this process keeps from the programs it starts: the store's, and tasks' secrets.

Functions share a process with others and start programs of their own, which inherit `os.environ`.
So these variables are taken out of it. Here they are kept for who finds the store by them, a
`Client` or `kiq` within a function, and for the task whose secret they are. They belong to the
process as `os.environ` does, and stand beside it for that reason.
"""

import os
from collections.abc import Iterable, Mapping

_kept: dict[str, str] = {}


def withhold(names: Iterable[str]) -> None:
    """Take the variables out of the environment, from now on."""
    for name in names:
        value = os.environ.pop(name, None)
        if value is not None:
            _kept[name] = value


def keep(variables: Mapping[str, str]) -> None:
    """Take variables that never were in this process's environment: a worker gives them a host."""
    _kept.update(variables)


def variable(name: str) -> str | None:
    """A variable of this process, withheld or not."""
    return _kept.get(name, os.environ.get(name))


def whole_environment() -> dict[str, str]:
    """The environment with what is withheld; for nobody else's eyes."""
    return {**_kept, **os.environ}
