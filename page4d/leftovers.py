"""Names of files that are not whole yet, by which a later run knows and removes those whose writer was killed."""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
from pathlib import Path

SUFFIX = ".part"
ASIDE = f".old{SUFFIX}"
_DAY_S = 86_400
_NAME_CHARACTERS = 24  # with it a name of 250 characters still leaves room for what is put around it
_swept: set[Path] = set()


def part_prefix(name: str) -> str:
    """How the temporary name begins beside `name`: hidden, short, with this machine and process in it."""
    return f".{name[:_NAME_CHARACTERS]}.{_machine()}-{os.getpid()}-"


def sweep(folder: Path) -> None:
    """Remove what killed processes of this machine left half-written in a folder; looked for once a process."""
    if folder in _swept:
        return
    _swept.add(folder)
    pattern = re.compile(rf"\..*\.{re.escape(_machine())}-(\d+)-.*{re.escape(SUFFIX)}", re.DOTALL)
    try:
        found = [(path, pattern.fullmatch(path.name)) for path in folder.iterdir() if path.name.endswith(SUFFIX)]
    except OSError:
        return  # whoever writes there is told
    over = [path for path, match in found if match is not None and _is_over(int(match[1]), path)]
    for path in sorted(over, key=lambda path: not path.name.endswith(ASIDE)):
        if path.is_dir() and not path.is_symlink():
            if path.name.endswith(ASIDE):
                _put_back(path)
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _put_back(aside: Path) -> None:
    """An earlier result whose replacement was killed between the two renamings takes its name again."""
    for kept in aside.iterdir():
        if not (aside.parent / kept.name).exists():
            kept.rename(aside.parent / kept.name)


def _machine() -> str:
    return re.sub(r"\W", "", platform.node())[:16] or "here"


def _is_over(process: int, path: Path) -> bool:
    """Whether a process has ended; where asking would disturb it, whether its file has lain there for a day."""
    if os.name == "nt":
        return time.time() - path.lstat().st_mtime > _DAY_S
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
