"""Names of files that are written for each frame: safe on every file system, no two alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

# File systems allow 255 bytes; what is left is for extensions and the suffix of a file that is being written.
LONGEST_BYTES = 180
# Blanks end a name in text formats; the others are forbidden somewhere, or separate folders.
_UNSAFE = re.compile(r'[\s\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?$", re.IGNORECASE)


def safe_names(given: Sequence[str]) -> list[str]:
    """A file name for each of these names.

    Note:    names that are safe and tell frames apart stay as they are. Of two cameras whose pictures are named alike
             the folders go into the names (`left_0001.jpg`), and where that does not help, the frame's number.
    """
    whole = [_parts(name) for name in given]
    for depth in range(1, max(map(len, whole), default=1) + 1):
        names = [safe_name("_".join(parts[-depth:])) for parts in whole]
        if _tell_apart(names):
            return names
    return [safe_name(f"{i:05d}_{parts[-1]}") for i, parts in enumerate(whole)]


def safe_stems(given: Sequence[str]) -> list[str]:
    """The same without extension."""
    return [stem_of(name) for name in safe_names(given)]


def stem_of(name: str) -> str:
    """A file name without its extension; of `.png` and the like, which are all extension, the whole name."""
    return PurePosixPath(name).stem


def safe_name(name: str) -> str:
    """One file name that every system takes: no separators, no blanks, no bytes that are no text, not too long."""
    readable = name.encode("utf-8", "replace").decode()
    safe = _UNSAFE.sub("_", readable).strip(".") or "_"
    if _RESERVED.match(safe):
        safe = f"_{safe}"
    suffix = PurePosixPath(safe).suffix
    suffix = suffix if len(suffix.encode()) <= 10 else ""
    stem = safe[: len(safe) - len(suffix)]
    return _shorten(stem, LONGEST_BYTES - len(suffix.encode())) + suffix


def _shorten(text: str, size: int) -> str:
    """Text of at most so many bytes, whole letters; the end tells frames apart more often than the beginning."""
    data = text.encode()
    return text if len(data) <= size else data[-size:].decode(errors="ignore")


def _parts(name: str) -> list[str]:
    """A frame's name with its folders; what leads out of a folder is no part of it."""
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")]
    return parts or ["_"]


def _tell_apart(names: Sequence[str]) -> bool:
    """Whether no two are one name, also where case does not count and files get another extension."""
    return max(Counter(stem_of(name).casefold() for name in names).values(), default=1) == 1
