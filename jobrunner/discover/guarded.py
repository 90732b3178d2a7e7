"""Imports only what nobody else may write: modules of the user run as the one who looks at them."""

import os
import sys
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from jobrunner.manifest.trust import Guard, Untrusted, open_guarded

if TYPE_CHECKING:
    from _typeshed.importlib import PathEntryFinderProtocol

OWN_PACKAGE = str(Path(__file__).parents[1])


def guard_imports(guard: Guard) -> None:
    """From now on, modules outside of this installation are read under the guard.

    What is installed with the interpreter, and this package itself, run in every case.
    """
    if guard is Guard.NONE:
        return
    installed = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, OWN_PACKAGE)
    finder = FileFinder.path_hook(*_loaders(guard))

    def hook(folder: str) -> "PathEntryFinderProtocol":
        if any(folder == top or folder.startswith(top + os.sep) for top in installed):
            raise ImportError("left to the usual finder", path=folder)
        return finder(folder)

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


def _loaders(guard: Guard) -> list[tuple[type, list[str]]]:
    def content(path: str) -> bytes:
        with open(open_guarded(path, guard), "rb") as file:
            return file.read()

    class Source(SourceFileLoader):
        def get_code(self, fullname: str) -> CodeType | None:
            # Also where a compiled file is taken instead: the next change is the source's.
            os.close(open_guarded(self.path, guard))
            return super().get_code(fullname)

        def get_data(self, path: str) -> bytes:
            try:
                return content(path)
            except Untrusted as error:
                if path == self.path:
                    raise
                raise OSError(error.what) from error  # a compiled file: it is compiled anew

    class Sourceless(SourcelessFileLoader):
        def get_data(self, path: str) -> bytes:
            return content(path)

    class Extension(ExtensionFileLoader):
        def create_module(self, spec: ModuleSpec) -> ModuleType:
            os.close(open_guarded(self.path, guard))
            return super().create_module(spec)

    return [
        (Extension, EXTENSION_SUFFIXES),
        (Source, SOURCE_SUFFIXES),
        (Sourceless, BYTECODE_SUFFIXES),
    ]
