"""Where a file of a name is written, behind links and never in the place of what is no file, and what is read whole."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

# Of a picture or table that is read whole, and of text: the largest tables are CO3D's, 300 MB a category.
MOST_BYTES, MOST_TEXT = 1 << 30, 1 << 28


def place_to_write(path: Path) -> Path:
    """The file that a name stands for: behind a link, which is somebody's and stays.

    Raises:  OSError if the name is taken by something that is no file, or cannot be looked up.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        regular = stat.S_ISREG(target.stat().st_mode)
    except FileNotFoundError:
        return target
    if not regular:
        raise OSError(errno.EEXIST, "it is a folder, device, pipe or socket, which stays", str(path))
    return target


def no_file(path: Path) -> str:
    """What to say of a path that was to name a file and names none."""
    if path.is_dir():
        return f"{path} is a folder"
    if path.exists():
        return f"{path} is a pipe or device, which cannot be read twice: copy its content into a file"
    return f"{path} does not exist"


def bytes_of(path: Path, most: int = MOST_BYTES) -> bytes:
    """All bytes of a plain file.

    Raises:  OSError for what is no file, such as a pipe, whose end may never come, and for more than `most` bytes.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, no_file(path), str(path))
    if about.st_size > most:
        raise OSError(errno.EFBIG, f"it has {about.st_size:,} bytes, expected at most {most:,}", str(path))
    return path.read_bytes()


def json_of(path: Path) -> Any:
    """What a JSON file says, in any of Unicode's codings.

    Raises:  OSError as `bytes_of`; ValueError or RecursionError for what is no JSON, or gives one name twice.
    """
    return json.loads(bytes_of(path, MOST_TEXT), object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it says {next(name for name in names if names.count(name) > 1)!r} twice")
    return values


def free_bytes(folder: Path) -> int:
    """Space left where a folder is, or is to be made."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(existing).free


def umask() -> int:
    """The permissions that new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
