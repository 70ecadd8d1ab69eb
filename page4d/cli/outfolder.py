"""Result folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from page4d.schema import UserError

# Names what a result folder was written with, so that --overwrite never deletes what somebody put beside it.
LISTING = ".page4d-files"


def check_out(out: Path, overwrite: bool, marker: str) -> None:
    """Refuse a result folder before the work starts.

    Raises:  UserError if `out` cannot be made, is a file, is or holds the current folder, or is a folder with something
             in it that `overwrite` does not cover: only a folder that holds `marker`, an earlier result, and no file
             besides those of that result is ever replaced.
    """
    whole = out.resolve()
    if whole.exists() and not whole.is_dir():
        raise UserError(f"{out} is a file; --out names a folder to make")
    if Path.cwd().is_relative_to(whole):
        raise UserError(f"--out {out} is the folder you are in, or above it; name a folder in it, for example result")
    _check_writable(out, whole.parent)
    if not whole.exists() or not any(whole.iterdir()):
        return
    if not (whole / marker).is_file():
        raise UserError(f"{out} is not empty and holds no {marker}; choose another --out")
    if not overwrite:
        raise UserError(f"{out} already holds {marker}; choose another --out or pass --overwrite")
    foreign = _foreign_files(whole, marker)
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise UserError(
            f"{out} holds files that are not of the earlier result: {', '.join(foreign[:3])}{more}; "
            "move them away or choose another --out"
        )


def _check_writable(out: Path, parent: Path) -> None:
    existing = next(folder for folder in (parent, *parent.parents) if folder.exists())
    if not existing.is_dir():
        raise UserError(f"cannot make {out}: {existing} is a file; --out names a folder to make")
    try:
        # Trying is the only test that holds for every user and file system.
        Path(tempfile.mkdtemp(dir=existing, prefix=".page4d.", suffix=".part")).rmdir()
    except OSError as error:
        raise UserError(f"cannot make {out}: {error.strerror}; choose a place that is writable") from error


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def _foreign_files(folder: Path, marker: str) -> list[str]:
    listing = folder / LISTING
    known = set(listing.read_text(encoding="utf-8").splitlines()) if listing.is_file() else set()
    return [name for name in _files(folder) if name not in known | {marker, LISTING}]


@contextmanager
def whole_folder(out: Path, overwrite: bool, marker: str) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its name when the block ends well, and is removed when it does not.

    Raises:  UserError as `check_out`, or if the folder cannot be made.
    """
    whole = out.resolve()
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=whole.parent, prefix=f".{whole.name}.", suffix=".part"))
    except OSError as error:
        raise UserError(f"cannot make {out}: {error.strerror}; choose a place that is writable") from error
    try:
        yield temporary
        (temporary / LISTING).write_text("\n".join(_files(temporary)) + "\n", encoding="utf-8")
        temporary.chmod(0o755)
        check_out(out, overwrite, marker)
        replace_folder(temporary, whole)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, out: Path) -> None:
    """Rename `new` to `out`; an earlier `out` is moved aside first and deleted last, so that one stands."""
    if not out.exists():
        new.rename(out)
        return
    aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".old.part"))
    try:
        out.rename(aside / out.name)
        try:
            new.rename(out)
        except BaseException:
            (aside / out.name).rename(out)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
