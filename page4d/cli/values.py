"""Argument types: what a word of the command line must be, told before anything heavy is imported."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from page4d.settings import DEVICES

MANY = 10**9  # a count beyond it is a slip of the keyboard
# What several commands say of the same option.
WEIGHTS_HELP = "tiny, nomask, mask, vggt, owner/name[/file], a file or a run's folder"
DEVICE_HELP = "cpu, cuda or mps (default: cuda where there is one, else cpu)"
OUT_HELP = "folder to make; it appears only when everything in it is written"
DROP_HELP = "share of least confident points left out (default: %(default)s)"


def whole(low: int = 1, high: int = MANY) -> Callable[[str], int]:
    """A type for whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else None
        if value is None or not low <= value <= high:
            span = f"of {low} or more" if high == MANY else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {span}")
        return value

    return parse


def named_path(text: str) -> Path:
    """The name of a file or folder. Nothing is none: an unset variable of a shell would stand for the folder one is in.

    Note:    whether it is there is asked later.
    """
    if not text:
        raise argparse.ArgumentTypeError("an empty word names no file or folder; is a variable not set?")
    if "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} holds a zero byte, which no name of a file may")
    return Path(text)


def weights(text: str) -> str:
    """The name of weights; nothing is none, and would be taken for the folder one is in.

    Note:    what it names is found out later.
    """
    if not text:
        raise argparse.ArgumentTypeError("an empty word names no weights; is a variable not set?")
    return text


def positive(text: str) -> float:
    """A finite number above 0, such as frames a second."""
    value = _float(text)
    if not 0 < value < MANY:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def rate(text: str) -> float:
    """Frames a second, above 0 and at most 1000."""
    value = positive(text)
    if value > 1000:
        raise argparse.ArgumentTypeError(f"{text!r} frames a second are more than 1000")
    return value


def seconds(text: str) -> float:
    """A time of 0 or more as seconds, minutes:seconds or hours:minutes:seconds."""
    value = 0.0
    for part in text.split(":"):
        value = value * 60 + _float(part)
    if text.count(":") > 2 or "-" in text or not 0 <= value < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give seconds, or 1:30 for a minute and a half")
    return value


def share(text: str) -> float:
    """A number in [0, 1)."""
    value = _float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share: give a number in [0, 1)")
    return value


def keyframes(text: str) -> float:
    """By which share of the diagonal a picture has moved: above 0, below 1."""
    value = share(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: every frame is a keyframe then; leave --keyframes out")
    return value


def shard(text: str) -> tuple[int, int]:
    """The I-th of N parts, as I/N."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count:
        raise argparse.ArgumentTypeError(f"{text!r} is not a part: expected I/N with I from 1 to N, for example 2/8")
    return number, count


def device(text: str) -> str:
    """The name of a kind of device that can compute; whether this machine has it is asked later."""
    if not DEVICES.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a device to compute on; give cpu, cuda, cuda:1, ... or mps")
    return text


def pixel(text: str) -> tuple[float, float]:
    """A point X,Y in pixels."""
    numbers = [_float(word) for word in text.split(",")]
    if len(numbers) != 2 or any(not abs(value) < MANY for value in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not a point: expected X,Y in pixels, for example 120,80")
    return numbers[0], numbers[1]


def _float(text: str) -> float:
    """The number, or NaN, which no comparison accepts."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
