"""Which parameters train, in which group, and clipped with which others: by glob patterns on names."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from page4d.schema import UserError
from page4d.settings import near

RANGE, CHOICE = re.compile(r"\{(\d+)\.\.(\d+)\}"), re.compile(r"\{([^{}]*)\}")


def expand(pattern: str) -> list[str]:
    """Spell out `{a..b}` number ranges and `{x,y}` choices; `*` matches dots too, case counts."""
    found = RANGE.search(pattern)
    if found:
        low, high = int(found[1]), int(found[2])
        return _each(pattern, found, map(str, range(low, high + 1)))
    choice = CHOICE.search(pattern)
    return _each(pattern, choice, choice[1].split(",")) if choice else [pattern]


def _each(pattern: str, place: re.Match[str], parts: Iterable[str]) -> list[str]:
    """The pattern with each of the parts in one place, and what is still short in it spelled out."""
    before, after = pattern[: place.start()], pattern[place.end() :]
    return [whole for part in parts for whole in expand(f"{before}{part}{after}")]


def matching(pattern: str, names: Sequence[str], what: str) -> set[str]:
    """The names that a pattern matches; each spelled-out part must match something.

    Raises:  UserError naming the pattern and the nearest names if there is no match.
    """
    found: set[str] = set()
    for glob in expand(pattern):
        hits = {name for name in names if fnmatch.fnmatchcase(name, glob)}
        if not hits:
            raise UserError(f"no {what} matches {glob!r}{_from(pattern, glob)}; near names: {near(glob, names)}")
        found |= hits
    return found


def _from(pattern: str, glob: str) -> str:
    return "" if pattern == glob else f" (from {pattern!r})"


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Take the modules (or single parameters) that the patterns name out of training; returns the parameters frozen.

    Note:    only `requires_grad` changes. Nothing is put in eval mode, so gradient checkpointing and the like work as
             before (the public trainer's freezing switched checkpointing off, T4).
    Raises:  UserError with near names for a pattern without a match.
    """
    modules = {name: list(module.parameters()) for name, module in model.named_modules() if name}
    parameters = {name: [parameter] for name, parameter in model.named_parameters()}
    known = modules | parameters
    for pattern in patterns:
        for name in matching(pattern, list(known), "module or parameter"):
            for parameter in known[name]:
                parameter.requires_grad_(False)
    return [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


@dataclass(frozen=True)
class NamedPatterns:
    """A group of the trainable parameters by name. `patterns` None takes what no other group names."""

    name: str
    patterns: tuple[str, ...] | None


def divide(
    everything: Mapping[str, nn.Parameter], groups: Sequence[NamedPatterns], what: str
) -> dict[str, list[nn.Parameter]]:
    """Give every trainable parameter to exactly one group.

    Raises:  UserError if a pattern matches nothing, a parameter is named twice or by nobody.
    Note:    a pattern may match frozen parameters only; that group is then empty and left out.
    """
    owner: dict[str, str] = {}
    rest = [group.name for group in groups if group.patterns is None]
    if len(rest) > 1:
        raise UserError(f"{what}: {' and '.join(rest)} both take the rest; give patterns to all but one")
    for group in groups:
        for pattern in group.patterns or ():
            for name in matching(pattern, list(everything), "parameter"):
                if owner.setdefault(name, group.name) != group.name:
                    raise UserError(f"{what}: {name} is in both {owner[name]!r} and {group.name!r}; keep one pattern")
    divided: dict[str, list[nn.Parameter]] = {group.name: [] for group in groups}
    left: list[str] = []
    for name, parameter in everything.items():
        if not parameter.requires_grad:
            continue
        target = owner.get(name, rest[0] if rest else None)
        if target is None:
            left.append(name)
        else:
            divided[target].append(parameter)
    if left:
        shown = ", ".join(left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
        raise UserError(f"{what}: no entry takes {shown}; add a pattern, or an entry with `patterns: null`")
    return {name: members for name, members in divided.items() if members}
