"""Settings as they are written: a dataclass read from the source of its module, which is not imported for it.

What a loss, a loop or a network can be told stands beside it, so that whoever asks for the settings imports torch too.
A typing mistake should not wait for that. Names, types and bounds are in the text, and they are enough to refuse it;
what a dataclass checks by code is checked when it is made.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
import importlib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from page4d.settings import check_values

ROOT = Path(__file__).parent
# Quick to import, and what types are made of.
IMPORTED = ("typing", "pathlib", "page4d.settings")


@functools.cache
def written(module: str, name: str) -> Any:
    """What a module means by a name: a type, or of a dataclass one with the same fields; Any for all else.

    Note:    the fields have some default where they have one in the text; which it is does not matter for a check.
    """
    if module in IMPORTED:
        return getattr(importlib.import_module(module), name)
    for line in _source(module).body:
        if isinstance(line, ast.ClassDef) and line.name == name:
            return _dataclass(module, line)
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == name:
            return _types(module, {name: line.value})[name]
        if isinstance(line, ast.ImportFrom):
            for imported in line.names:
                if name == (imported.asname or imported.name):
                    return _imported(str(line.module), imported.name)
    return getattr(builtins, name, Any)


def written_table(module: str, name: str) -> dict[str, Any]:
    """A table of a module, from words to dataclasses, each as `written` reads it."""
    for line in _source(module).body:
        if isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == name and isinstance(line.value, ast.Dict):
            words = [ast.unparse(key) for key in line.value.keys if key]
            kinds = [written(module, ast.unparse(kind)) for kind in line.value.values]
            return {ast.literal_eval(word): kind for word, kind in zip(words, kinds, strict=True)}
    raise LookupError(f"{module} has no table {name}")


def said(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that have a value: one that nobody gave has none here, and its default needs no check."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found[name] = said(value)
        elif value is not None:
            found[name] = value
    return found


def _imported(module: str, name: str) -> Any:
    return written(module, name) if module in IMPORTED or module.split(".")[0] == ROOT.name else Any


@functools.cache
def _source(module: str) -> ast.Module:
    # Not found by importlib, which would import the room around it.
    place = ROOT.joinpath(*module.split(".")[1:])
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _dataclass(module: str, written_class: ast.ClassDef) -> Any:
    bases = [written(module, ast.unparse(base)) for base in written_class.bases]
    own = [line for line in written_class.body if isinstance(line, ast.AnnAssign)]
    kinds = _types(module, {ast.unparse(line.target): line.annotation for line in own})
    given = {ast.unparse(line.target): line.value is not None for line in own}
    named = [(name, kind, _field(kind, given[name])) for name, kind in kinds.items()]
    return dataclasses.make_dataclass(
        written_class.name,
        named,
        bases=tuple(base for base in bases if base is not Any),
        namespace={"__post_init__": check_values},
        kw_only=True,
    )


def _field(kind: Any, has_default: bool) -> Any:
    if not has_default:
        return dataclasses.field()
    if dataclasses.is_dataclass(kind):
        return dataclasses.field(default_factory=typing.cast(Any, kind))
    if typing.get_origin(kind) is dict:
        return dataclasses.field(default_factory=dict)
    return dataclasses.field(default=typing.get_args(kind)[0] if typing.get_origin(kind) is Literal else None)


def _types(module: str, annotations: dict[str, ast.expr]) -> dict[str, Any]:
    """The types that annotations stand for, each of their names as its module means it."""
    parts = [part for annotation in annotations.values() for part in ast.walk(annotation)]
    known = {part.id: written(module, part.id) for part in parts if isinstance(part, ast.Name)}
    texts = {name: ast.unparse(annotation) for name, annotation in annotations.items()}
    holder = type("Written", (), {"__annotations__": texts})
    return typing.get_type_hints(holder, localns=known, include_extras=True)
