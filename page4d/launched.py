"""What torchrun, `accelerate launch` and job scripts tell a process: which it is, and of how many."""

from __future__ import annotations

import os

from page4d.schema import UserError


def process() -> tuple[int, int]:
    """The number of this process, from 0, and how many were started; (0, 1) of one that started alone.

    Raises:  UserError for values that are no such numbers.
    """
    return _number("RANK", 0), _number("WORLD_SIZE", 1)


def local_process() -> int:
    """The number of this process among those of its machine, from 0.

    Raises:  UserError for a value that is no such number.
    """
    return _number("LOCAL_RANK", 0)


def _number(name: str, usual: int) -> int:
    """A whole number of the environment; a variable that is set to nothing counts as not set."""
    text = os.environ.get(name) or str(usual)
    if not text.isdecimal() or int(text) < usual:
        raise UserError(f"{name}={text!r} in the environment; expected a whole number of {usual} or more, or unset it")
    return int(text)
