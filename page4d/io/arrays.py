"""Arrays of .npy and .npz files: nothing is unpickled, and a size that the file only claims takes no memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from page4d.npz import check_npz
from page4d.places import no_file
from page4d.schema import UserError


def read_npy(path: Path) -> NDArray[Any]:
    """One array of a .npy file.

    Raises:  UserError if the file is missing, damaged, holds Python objects, or is shorter than it says.
    """
    if not path.is_file():
        raise UserError(f"{no_file(path)}; expected a .npy array, check that the download is complete")
    try:
        # Mapped first: that fails if the file is shorter than its header claims.
        return _real(np.array(np.load(path, mmap_mode="r", allow_pickle=False)))
    except Exception as error:  # numpy's parser of headers raises what it likes
        raise UserError(f"{path} is not a whole .npy file ({error!s:.200}); write or download it again") from error


def npz_names(path: Path) -> list[str]:
    """Names of the arrays of an npz, in the order they are stored in.

    Raises:  UserError if the file is missing or damaged.
    """
    with _npz(path) as stored:
        return list(stored.files)


def read_npz(path: Path, *keys: str) -> list[NDArray[Any]]:
    """Arrays of an npz, each decompressed once; without `keys` all of them, in the order they are stored in.

    Raises:  UserError if the file is missing, damaged or lacks an array, or an array is larger than its file can hold.
    """
    with _npz(path) as stored:
        missing = [key for key in keys if key not in stored.files]
        if missing:
            raise UserError(f"{path} holds {sorted(stored.files)}, but not {', '.join(missing)}")
        return [_real(stored[key]) for key in keys or stored.files]


def holds_numbers(path: Path, key: str) -> bool:
    """Whether an array of an npz is there as numbers; false for one that is missing, or a Python object such as None.

    Raises:  UserError if the file is missing or damaged.
    """
    with _npz(path) as stored:
        if key not in stored.files:
            return False
        try:
            return bool(stored[key].dtype != object)
        except ValueError:  # numpy's word for an array that only a pickle could bring back
            return False


def _real(array: NDArray[Any]) -> NDArray[Any]:
    """An array as it is, unless it holds what would lose its half or its meaning as a real number."""
    if array.dtype.kind in "cmMV":
        raise ValueError(f"it holds an array of {array.dtype}, expected real numbers")
    return array


@contextmanager
def _npz(path: Path) -> Iterator[NpzFile]:
    """An opened archive; whatever is wrong with it, also while it is read, is told with its path."""
    if not path.is_file():
        raise UserError(f"{no_file(path)}; expected an npz archive, check that the download is complete")
    try:
        check_npz(path)
        with np.load(path, allow_pickle=False) as stored:
            yield stored
    except UserError:
        raise
    except Exception as error:  # a damaged zip raises errors of zipfile and zlib, a damaged header those of numpy
        raise UserError(f"{path} is not a whole npz archive ({error!s:.200}); write or download it again") from error
