"""The sizes that an npz claims, looked at before any memory is taken: numpy believes a header of terabytes."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from numpy.lib import format as npy

# An array may be as empty as it likes up to a quarter of a GB, and beyond it down to a two hundredth of its size.
MODEST_BYTES, EMPTIEST = 1 << 28, 200
# No stream of DEFLATE, the only compression that numpy writes, unpacks to more than this many times its size.
MOST_PACKED = 1032
_HEADERS: dict[tuple[int, int], Callable[[IO[bytes]], tuple[Any, bool, Any]]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def check_npz(path: os.PathLike[str] | str) -> None:
    """Read the headers of all arrays of an npz, and none of their data.

    Raises:  ValueError for an array that is larger than its part of the file can hold or stands there twice, and what
             zipfile raises.
    """
    size = Path(path).stat().st_size
    with zipfile.ZipFile(path) as archive:
        if len(set(archive.namelist())) < len(archive.namelist()):
            raise ValueError("it holds two arrays of one name")
        for part in archive.infolist():
            with archive.open(part) as stream:
                claimed = _claimed_bytes(stream)
            stored = min(part.compress_size, size)
            possible = max(EMPTIEST * stored, min(MOST_PACKED * stored + 64, MODEST_BYTES))
            if claimed > part.file_size or part.file_size > possible:
                raise ValueError(f"{part.filename} claims {claimed:,} bytes in a file of {size:,}")


def _claimed_bytes(stream: IO[bytes]) -> int:
    """How many bytes the array that begins here says it has."""
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"format version {version} of an array is not known")
    shape, _, dtype = _HEADERS[version](stream)
    return int(math.prod(shape) * dtype.itemsize)
