"""Where a file of a name is written: behind links, and never in the place of what is no file."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path


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


def free_bytes(folder: Path) -> int:
    """Space left where a folder is, or is to be made."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(existing).free


def umask() -> int:
    """The permissions that new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
