"""Result folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from page4d.schema import UserError


def check_out(out: Path, overwrite: bool, marker: str) -> None:
    """Refuse a result folder before the work starts.

    Raises:  UserError if `out` is a file, or a folder with something in it that `overwrite` does not cover: only a
             folder that holds `marker`, an earlier result, is ever replaced.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; --out names a folder to make")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / marker).is_file():
        raise UserError(f"{out} is not empty and holds no {marker}; choose another --out")
    if not overwrite:
        raise UserError(f"{out} already holds {marker}; choose another --out or pass --overwrite")


@contextmanager
def whole_folder(out: Path, overwrite: bool, marker: str) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its name when the block ends well, and is removed when it does not.

    Raises:  UserError as `check_out`, or if the folder cannot be made.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
    except OSError as error:
        raise UserError(f"cannot make {out}: {error.strerror}; choose a place that is writable") from error
    try:
        yield temporary
        temporary.chmod(0o755)
        check_out(out, overwrite, marker)
        replace_folder(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, out: Path) -> None:
    """Rename `new` to `out`; an earlier `out` is moved aside first and deleted last, so that one stands."""
    if not out.exists():
        new.rename(out)
        return
    aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".old.part"))
    out.rename(aside / out.name)
    try:
        new.rename(out)
    except BaseException:
        (aside / out.name).rename(out)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
