"""Front doors: the names that a package offers, each imported on first use.

The one table of a door is its imports under TYPE_CHECKING: type checkers follow them as they stand, and `door` reads
the same lines to know where each name lives. So `import page4d` stays quick, and an absent extra is asked for only
where a name needs it.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path


def door(package: str, file: str) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """The `__getattr__`, `__dir__` and `__all__` of a package, for `__name__` and `__file__` as it has them."""
    home = dict(homes(Path(file).read_text(encoding="utf-8")))
    offered = sorted(home)

    def __getattr__(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if home[name] == package:
            return importlib.import_module(f"{package}.{name}")  # a room of the package, not a name in it
        from page4d.extras import extras_named  # here, because it brings numpy

        with extras_named(f"{package}.{name}"):
            value: object = getattr(importlib.import_module(home[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return offered

    return __getattr__, __dir__, offered


def homes(source: str) -> Iterator[tuple[str, str]]:
    """Each name that a door's source imports under TYPE_CHECKING, and the module it lives in."""
    for block in ast.parse(source).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            imports = (line for line in block.body if isinstance(line, ast.ImportFrom))
            yield from ((name.name, str(line.module)) for line in imports for name in line.names)
