"""Names of files: their order, the numbers and times in them, and which may be used as they stand in somebody's file.

One rule for order everywhere: runs of digits are compared as numbers, so that 2.png comes before 10.png; a name that
is one decimal number is a time stamp and is compared as that number, so that 1.5.png comes after 1.25.png; letters
compare whatever their case. Suffixes count in any case, and hidden files are never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from page4d.io.text_rows import entries, words_of
from page4d.places import no_file
from page4d.schema import UserError

_RUN = re.compile(r"(\d+)")
_DECIMAL = re.compile(r"\d+\.\d+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# More digits than a double has count no frames and no seconds.
_MAX_DIGITS = 18


def natural_key(path: Path | str) -> tuple[object, ...]:
    """Sort key of the one order of names; equal numbers are ordered by the plain name, so 01 and 1 never swap."""
    name, stem = Path(path).name, Path(path).stem
    parts = ["", stem, Path(path).suffix.lower()] if _DECIMAL.fullmatch(stem) else _RUN.split(name.lower())
    return (tuple(_ordered(part) for part in parts), name)


def _ordered(part: str) -> tuple[int, float, str]:
    """Numbers by value after any text; a run of digits stays an integer, which no double rounds."""
    if part.isdecimal():
        return 1, int(part), ""
    return (1, float(part), "") if _DECIMAL.fullmatch(part) else (0, 0, part)


def list_files(folder: Path, suffixes: Collection[str], start: str = "") -> list[Path]:
    """Files of a folder whose suffix is one of these in any case, in natural order; none if there is no such folder.

    Note:    `start` keeps names that begin with it; hidden files are left out.
    """
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and path.name.startswith(start)]
    return sorted((path for path in found if path.name[0] != "." and path.is_file()), key=natural_key)


def frame_number(name: Path | str) -> int:
    """The last run of digits of a name: 7 of `frame_0007.cam`, 12 of `0_00012.json`.

    Raises:  UserError if there is none, or if it has too many digits to count frames.
    """
    runs: list[str] = _RUN.findall(Path(name).stem)
    if not runs:
        raise UserError(f"{name} has no frame number in its name; expected one such as frame_0001")
    if len(runs[-1]) > _MAX_DIGITS:
        raise UserError(f"{name}: {runs[-1]} has {len(runs[-1])} digits; a frame number has at most {_MAX_DIGITS}")
    return int(runs[-1])


def by_number(paths: Iterable[Path]) -> dict[int, Path]:
    """Files by their frame number, in increasing order; those without a number are left out.

    Raises:  UserError if two files have the same number.
    """
    found: dict[int, Path] = {}
    for path in paths:
        if not _RUN.search(path.stem):
            continue
        number = frame_number(path)
        if found.setdefault(number, path) != path:
            raise UserError(f"{path} and {found[number].name} have the same number; rename one")
    return dict(sorted(found.items()))


def time_stamps_s(names: Sequence[Path | str]) -> list[float] | None:
    """The times in seconds that files are named by, None unless every name is a number and one has a fraction."""
    stems = [Path(name).stem for name in names]
    numbers = all(_NUMBER.fullmatch(stem) and len(stem) <= 2 * _MAX_DIGITS for stem in stems)
    if not numbers or not any(_DECIMAL.fullmatch(stem) for stem in stems):
        return None
    return [float(stem) for stem in stems]


def time_stamp_s(name: Path | str) -> float:
    """The time in seconds that a file is named by, as in TUM and Bonn; a whole number counts too.

    Raises:  UserError if the name is no number.
    """
    stem = Path(name).stem
    if not _NUMBER.fullmatch(stem) or len(stem) > 2 * _MAX_DIGITS:
        raise UserError(f"{name} is not named by a time stamp in seconds; expected one such as 1311868164.363181.png")
    return float(stem)


def by_time(paths: Iterable[Path]) -> dict[float, Path]:
    """Files by their time stamp in seconds, in increasing order.

    Raises:  UserError if a name is no time stamp, or if two are the same time.
    """
    found: dict[float, Path] = {}
    for path in paths:
        stamp = time_stamp_s(path)
        if found.setdefault(stamp, path) != path:
            raise UserError(f"{path} and {found[stamp].name} have the same time stamp; remove one")
    return dict(sorted(found.items()))


def checked_name(name: str, place: str) -> str:
    """A name that somebody's file gives for one file or folder, refused if it could lead anywhere else.

    Raises:  UserError that starts with `place` for an empty name, one with a separator or a control character such as
             NUL, and for `.` and `..`.
    """
    if name in ("", ".", "..") or _CONTROL.search(name) or "/" in name or "\\" in name:
        raise UserError(f"{place}: {name!r} cannot name a file; expected a plain name without separators")
    return name


def checked_relative(name: str, place: str) -> str:
    """A path that somebody's file gives, refused unless it stays below the folder it is relative to.

    Raises:  UserError that starts with `place` for an absolute path, or a part that `checked_name` refuses.
    """
    for part in name.split("/"):
        try:
            checked_name(part, place)
        except UserError as error:
            raise UserError(
                f"{place}: {name!r} does not stay in its folder; expected a path such as a/b.png"
            ) from error
    return name


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their name without suffix.

    Raises:  UserError if two files differ in their suffix only.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if found.setdefault(path.stem, path) != path:
            raise UserError(f"{path} and {found[path.stem].name} have one name but for the suffix; remove one")
    return found


def read_times(path: Path, names: Sequence[str] | None = None) -> list[float]:
    """Times in seconds from a text file: one a line in the order of `names`, or a time and a name a line, in any order.

    Note:    empty lines and those that begin with # are left out; of longer lines the first two words count.
    Raises:  UserError naming the line for what is no time, or if the times do not go with the names.
    """
    if not path.is_file():
        raise UserError(f"{no_file(path)}; expected a text file with one time in seconds a line")
    rows = []
    for number, line in entries(path, "surrogateescape"):
        place = f"{path}, line {number}"
        words = words_of(line, place)
        if re.fullmatch(r"\d+,\d+", line.strip()):
            raise UserError(f"{place}: {line.strip()!r} has a decimal comma; expected a point, as in 0.5")
        rows.append((_finite(words[0], place), words[1] if len(words) > 1 else None))
    times = [time for time, _ in rows]
    if names is None or all(label is None for _, label in rows):
        if names is not None and len(times) != len(names):
            raise UserError(f"{path} holds {len(times)} times for {len(names)} frames; expected one for each, in order")
        return times
    of_name: dict[str, float] = {}
    for time, label in rows:
        name = Path(label or "").name
        if of_name.setdefault(name, time) != time:
            raise UserError(f"{path} gives {name!r} two times, {of_name[name]!r} and {time!r}; leave one of the lines")
    missing = [name for name in names if Path(name).name not in of_name]
    if missing:
        raise UserError(f"{path} has no time for {missing[0]} and {len(missing) - 1} more; expected lines TIME NAME")
    return [of_name[Path(name).name] for name in names]


def _finite(word: str, place: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if abs(value) == float("inf") or value != value:
        raise UserError(f"{place}: {word!r} is not a time; expected seconds, such as 1311868164.363181")
    return value
