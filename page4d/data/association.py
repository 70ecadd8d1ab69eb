"""Time stamps: reading index files, pairing two streams, finding the nearest neighbour in a third.

The pairing gives exactly what the public scripts give (every pair within reach, closest first, each stamp used
once), but looks only at neighbours: the closest unused pair is always adjacent in the merged order of both streams.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from page4d.io.text_rows import entries, words_of
from page4d.schema import UserError

# How far apart in time a picture and its partner of another stream may be in TUM and Bonn. 20 ms, each partner used
# once, is the association of TUM's own tools: two streams of 30 Hz lie at most 17 ms apart, so a farther partner
# belongs to another picture. Training takes poses and depth so, and leaves out a picture without.
POSE_WITHIN_S = 0.02
# The published evaluations keep every picture that has a pose and give it the nearest depth map within 40 ms, so that a
# dropped one costs no frame; preparing a benchmark, and TUM's selection="public", do the same.
DEPTH_WITHIN_S = 0.04


@dataclass(frozen=True)
class IndexRow:
    """One line of an index file: a stamp in seconds, the words after it as text, and where it stands."""

    stamp_s: float
    words: tuple[str, ...]
    path: Path
    line: int

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.path}, line {self.line}"

    def numbers(self, count: int) -> NDArray[np.float64]:
        """The first `count` words as numbers.

        Raises:  UserError with file and line for a word that is none, or one that is not finite.
        """
        try:
            values = np.array([float(word) for word in self.words[:count]])
        except ValueError as error:
            raise UserError(f"{self.place}: {error}; expected {count} numbers after the stamp") from error
        if len(values) != count or not np.isfinite(values).all():
            raise UserError(f"{self.place}: expected {count} finite numbers after the stamp, got {self.words}")
        return values


def stamps(rows: Sequence[IndexRow]) -> list[float]:
    """Their time stamps in seconds."""
    return [row.stamp_s for row in rows]


def _parse(path: Path, number: int, words: Sequence[str], n_words: int) -> IndexRow:
    try:
        stamp = float(words[0])
    except ValueError:
        stamp = math.nan
    if not math.isfinite(stamp):
        raise UserError(f"{path}, line {number}: {words[0]!r} is not a time stamp in seconds")
    if len(words) < 1 + n_words:
        raise UserError(
            f"{path}, line {number}: {len(words) - 1} values after the stamp, expected {n_words}: {' '.join(words)!r}"
        )
    return IndexRow(stamp, tuple(words[1:]), path, number)


def read_rows(path: Path, n_words: int = 1) -> list[IndexRow]:
    """Read `stamp word word ...` lines in file order; `#` starts a comment line, commas and tabs count as blanks.

    Raises:  UserError with file and line for a missing or empty file, a word that is no stamp, or too few words.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; this folder is not a complete download of the sequence")
    rows = []
    for number, text in entries(path):
        words = words_of(text, f"{path}, line {number}")
        rows.append(_parse(path, number, words, n_words))
    if not rows:
        raise UserError(f"{path} has no entry, only comments or empty lines")
    return rows


def read_index(path: Path, n_words: int = 1, tolerant: bool = False) -> list[IndexRow]:
    """Read an index file whose stamps must increase.

    Raises:  UserError with file and line as `read_rows`, and for a stamp that repeats or goes back in time. With
             `tolerant`, the last of equal stamps wins and the entries are sorted, as the public script does.
    """
    entries = read_rows(path, n_words)
    if tolerant:
        return sorted({entry.stamp_s: entry for entry in entries}.values(), key=lambda entry: entry.stamp_s)
    _check_order(entries)
    return entries


def _check_order(entries: Sequence[IndexRow]) -> None:
    for before, after in itertools.pairwise(entries):
        if after.stamp_s == before.stamp_s:
            raise UserError(
                f"{after.place}: stamp {after.stamp_s!r} repeats line {before.line}; "
                "remove one, or pass --tolerant to keep the last"
            )
        if after.stamp_s < before.stamp_s:
            raise UserError(
                f"{after.place}: stamp {after.stamp_s!r} is before {before.stamp_s!r} of line {before.line}; "
                "sort the file, or pass --tolerant to sort it on reading"
            )


def associate(
    first_s: Sequence[float], second_s: Sequence[float], max_difference_s: float = POSE_WITHIN_S, offset_s: float = 0.0
) -> list[tuple[int, int]]:
    """Pair the stamps of two streams, closest pairs first, each stamp at most once.

    Shapes:  two sequences of distinct seconds in any order -> index pairs (into first, into second), by first's stamp.
    Units:   seconds; a pair is allowed if |first - (second + offset_s)| < max_difference_s (strictly).
    Note:    O(n log n); ties go to the smaller stamp of first, then of second.
    Raises:  ValueError if a stamp repeats within a stream.
    """
    first = [(stamp, 0, i) for i, stamp in enumerate(first_s)]
    second = [(stamp + offset_s, 1, j) for j, stamp in enumerate(second_s)]
    items = sorted(first + second)
    if any(a[:2] == b[:2] for a, b in itertools.pairwise(items)):
        raise ValueError("associate: a stamp repeats within a stream; drop duplicates first")
    n = len(items)
    left, right = list(range(-1, n - 1)), list(range(1, n + 1))

    def candidate(low: int, high: int) -> tuple[float, float, float, int, int] | None:
        if low < 0 or high >= n or items[low][1] == items[high][1]:
            return None
        a, b = (low, high) if items[low][1] == 0 else (high, low)
        difference = abs(items[a][0] - items[b][0])
        return (difference, items[a][0], items[b][0], a, b) if difference < max_difference_s else None

    heap = [pair for k in range(n - 1) if (pair := candidate(k, k + 1))]
    heapq.heapify(heap)
    used = bytearray(n)
    pairs: list[tuple[int, int]] = []
    while heap:
        *_, a, b = heapq.heappop(heap)
        if used[a] or used[b]:
            continue
        used[a] = used[b] = 1
        pairs.append((items[a][2], items[b][2]))
        low, high = left[min(a, b)], right[max(a, b)]
        if low >= 0:
            right[low] = high
        if high < n:
            left[high] = low
        if closed := candidate(low, high):
            heapq.heappush(heap, closed)
    return sorted(pairs, key=lambda pair: first_s[pair[0]])


def nearest_within(sorted_s: Sequence[float], target_s: float, max_difference_s: float) -> int | None:
    """Index of the stamp nearest to `target_s`, or None if it is farther than `max_difference_s` (inclusive).

    Note:    at equal distance the later stamp is taken.
    """
    right = bisect_left(sorted_s, target_s)
    around = [k for k in (right, right - 1) if 0 <= k < len(sorted_s)]
    if not around:
        return None
    best = min(around, key=lambda k: abs(sorted_s[k] - target_s))
    return best if abs(sorted_s[best] - target_s) <= max_difference_s else None
