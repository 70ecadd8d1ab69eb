"""Settings as frozen dataclasses, built from plain nested mappings: typed, and refused with the near name.

A dataclass says which settings there are, of which type and with which default; a configuration file or a command
line says only what differs. What does not fit is named with where it stands, what arrived and what was expected.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from page4d.schema import UserError

T = TypeVar("T")
_WORDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "text", Path: "a path"}
# Hydra knows true and false only; the other words of YAML arrive as text, and any text would count as true.
_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclasses.dataclass(frozen=True)
class Between:
    """The numbers that a setting takes, both ends included: `batch_size: Annotated[int, Between(1, 65_536)]`."""

    low: float
    high: float = math.inf

    def __str__(self) -> str:
        return f"{_plain(self.low)} or more" if self.high == math.inf else f"{_plain(self.low)} to {_plain(self.high)}"


def _plain(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


Share = Annotated[float, Between(0, 1)]
# A number beyond these is a slip of the keyboard: no machine holds or counts so many.
Count = Annotated[int, Between(1, 10**9)]
CountOrZero = Annotated[int, Between(0, 10**9)]
Size = Annotated[int, Between(1, 65_536)]
Seed = Annotated[int, Between(0, 2**63 - 1)]
DEFAULT_SEED = 42
NonNegative = Annotated[float, Between(0, 1e9)]
# Kinds of devices that can compute; whether a machine has one is asked later.
DEVICES = re.compile(r"cpu|mps|cuda(:\d{1,3})?")


def check_values(settings: Any, where: str = "") -> None:
    """Hold a dataclass's numbers against the `Between` of their types and its words against their `Literal`.

    Note:    for `__post_init__`: types say which values there are, but only to type checkers. Of a list every number
             counts, and None stands outside. `where` is what stands before the name, such as "framing ".
    Raises:  UserError naming the setting, what it is and what was expected.
    """
    hints = typing.get_type_hints(type(settings), include_extras=True)
    for name, hint in hints.items():
        value = getattr(settings, name)
        if typing.get_origin(hint) is Literal:
            check_choice(value, hint, f"{where}{name}")
        for limits in _limits_in(hint):
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, (int, float)) and not limits.low <= number <= limits.high:
                    raise UserError(f"{where}{name} is {number}; expected {limits}")


def check_choice(value: Any, kind: Any, name: str) -> None:
    """Refuse a value that is none of a Literal's.

    Raises:  UserError naming it and the choices.
    """
    choices = typing.get_args(kind)
    # True counts as 1 and equals it, but is no answer to "which camera".
    if value not in choices or isinstance(value, bool):
        raise UserError(f"{name} is {value!r}; choose one of {', '.join(map(repr, choices))}")


def _limits_in(hint: Any) -> Iterable[Between]:
    """The limits that stand in a type or in the members of a union or tuple."""
    if typing.get_origin(hint) is Annotated:
        yield from (extra for extra in hint.__metadata__ if isinstance(extra, Between))
        return
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple):
        for argument in typing.get_args(hint):
            yield from _limits_in(argument)


def near(name: str, names: Iterable[str], n: int = 4) -> str:
    """The most similar of the names, for an error message; "none" if no name is similar."""
    close = difflib.get_close_matches(name, list(names), n=n, cutoff=0.3)
    return ", ".join(close) or "none"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The rest of a sentence that refused a name: the one that comes near, if there is any."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def build(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make a dataclass from plain values, going into nested ones.

    Raises:  UserError naming the key, where it stands and near keys for a key that is not known, a value of another
             type, a setting that is missing, or values that the dataclass itself refuses.
    """
    made = _convert_all(kind, values, where)
    settings = [f for f in dataclasses.fields(kind) if f.init]  # type: ignore[arg-type]
    missing = [f.name for f in settings if f.name not in values and _has_no_default(f)]
    if missing:
        everything = ", ".join(f.name for f in settings)
        raise UserError(f"{where}: {', '.join(missing)} must be given; all: {everything}")
    return _whole(lambda: kind(**made), where)


def defaults_of(kind: type[Any]) -> dict[str, Any]:
    """The settings of a dataclass that need not be given, as plain values."""
    found = {}
    for setting in dataclasses.fields(kind):
        if setting.default_factory is not dataclasses.MISSING:
            value = setting.default_factory()
        elif setting.default is not dataclasses.MISSING:
            value = setting.default
        else:
            continue
        nested = dataclasses.is_dataclass(value) and not isinstance(value, type)
        found[setting.name] = dataclasses.asdict(value) if nested else value
    return found


def change(base: T, values: Mapping[str, Any], where: str) -> T:
    """A dataclass with some of its settings changed, as typed and as strict as `build`.

    Raises:  UserError as `build`.
    """
    made = _convert_all(type(base), values, where)
    return _whole(lambda: dataclasses.replace(base, **made), where)  # type: ignore[type-var]


def _convert_all(kind: type[Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind) if f.init]
    for key in values:
        if key not in names:
            raise UserError(
                f"{where}.{key} is not a setting; near keys: {near(str(key), names)}; all: {', '.join(names)}"
            )
    return {key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()}


def _whole(make: Callable[[], T], where: str) -> T:
    """What the dataclass itself refuses, with the place in front."""
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error


def _has_no_default(setting: dataclasses.Field[Any]) -> bool:
    return setting.default is dataclasses.MISSING and setting.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is Literal:
        check_choice(value, hint, where)
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
    if hint is bool and isinstance(value, str) and value.lower() in _SWITCHES:
        return _SWITCHES[value.lower()]
    if hint is float:
        number = _number(value)
        if number is not None:
            return number
    elif hint in (str, Path) and isinstance(value, str | Path):
        return hint(value)
    elif hint is str and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # a name such as 2026, which YAML reads as a number
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise UserError(f"{where} is {value!r}, expected {_WORDS.get(hint, getattr(hint, '__name__', hint))}")


def _number(value: Any) -> float | None:
    """A finite number, None for anything else; YAML reads 1e-5 as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
