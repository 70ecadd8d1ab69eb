"""Settings as frozen dataclasses, built from plain nested mappings: typed, and refused with the near name.

A dataclass says which settings there are, of which type and with which default; a configuration file or a command
line says only what differs. What does not fit is named with where it stands, what arrived and what was expected.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

from page4d.schema import UserError

T = TypeVar("T")
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def near(name: str, names: Iterable[str], n: int = 4) -> str:
    """The most similar of the names, for an error message; "none" if no name is similar."""
    close = difflib.get_close_matches(name, list(names), n=n, cutoff=0.3)
    return ", ".join(close) or "none"


def build(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make a dataclass from plain values, going into nested ones.

    Raises:  UserError naming the key, where it stands and near keys for a key that is not known, a value of another
             type, a setting that is missing, or values that the dataclass itself refuses.
    """
    hints = typing.get_type_hints(kind)
    settings = [f for f in dataclasses.fields(kind) if f.init]  # type: ignore[arg-type]
    names = [f.name for f in settings]
    for key in values:
        if key not in names:
            raise UserError(
                f"{where}.{key} is not a setting; near keys: {near(str(key), names)}; all: {', '.join(names)}"
            )
    missing = [f.name for f in settings if f.name not in values and _has_no_default(f)]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} must be given; all: {', '.join(names)}")
    made = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()}
    try:
        return kind(**made)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error


def _has_no_default(setting: dataclasses.Field[Any]) -> bool:
    return setting.default is dataclasses.MISSING and setting.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise UserError(f"{where} is {value!r}; choose one of {', '.join(map(repr, arguments))}")
        return value
    if dataclasses.is_dataclass(hint):
        return _convert_nested(typing.cast(type[Any], hint), value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{where} is {value!r}, expected a mapping from names")
        return {str(key): _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    return _convert_plain(hint, value, where)


def _convert_nested(hint: type[Any], value: Any, where: str) -> Any:
    if isinstance(value, hint):
        return value
    if not isinstance(value, Mapping):
        raise UserError(f"{where} is {value!r}, expected settings of {hint.__name__}")
    return build(hint, value, where)


def _convert_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    failures: list[str] = []
    for argument in arguments:
        if argument is type(None):
            continue
        try:
            return _convert(argument, value, where)
        except UserError as error:
            failures.append(str(error))
    raise UserError("; or ".join(failures))


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise UserError(f"{where} is {value!r}, expected a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(arguments) != len(value):
        raise UserError(f"{where} has {len(value)} entries, expected {len(arguments)}")
    pairs = zip(arguments, value, strict=True)
    return tuple(_convert(argument, item, f"{where}[{i}]") for i, (argument, item) in enumerate(pairs))


def _convert_plain(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):
        try:
            return float(value)  # YAML reads 1e-5 as text
        except ValueError:
            pass
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise UserError(f"{where} is {value!r}, expected {_WORDS.get(hint, getattr(hint, '__name__', hint))}")
