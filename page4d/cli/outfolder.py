"""Result folders that appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from page4d.leftovers import ASIDE, SUFFIX, part_prefix, sweep
from page4d.places import free_bytes, umask
from page4d.schema import UserError

# Names what a result folder was written with, so that --overwrite never deletes what somebody put beside it.
LISTING = ".page4d-files"
# Of a page of the viewer; its canvas stands after its styles, a few thousand bytes from the beginning.
PAGE_HEAD = 65_536


def check_out(out: Path, overwrite: bool, marker: str) -> None:
    """Refuse a result folder before the work starts.

    Raises:  UserError if `out` cannot be made, is a file, is or holds the current folder, or is a folder with something
             in it that `overwrite` does not cover: only a folder that holds `marker`, an earlier result, and no file
             besides those of that result is ever replaced.
    """
    whole = resolved(out)
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


def resolved(path: Path) -> Path:
    """Where a name leads, behind all links.

    Raises:  UserError for links that lead around to themselves.
    """
    whole = Path(os.path.realpath(path))
    if any(place.is_symlink() for place in (whole, *whole.parents)):
        raise UserError(f"{path} is, or lies behind, a link that leads around to itself; choose another place")
    return whole


def check_place(folder: Path, called: str) -> None:
    """Refuse a folder that is to be written into, before the work starts; `called` is the setting that names it.

    Raises:  UserError if it is a file or stands in one, or cannot be made or written into.
    """
    whole = resolved(folder)
    if whole.exists() and not whole.is_dir():
        raise UserError(f"{called} {folder} is a file; expected a folder to write into")
    _check_writable(folder, whole if whole.is_dir() else whole.parent)


def check_page(page: Path) -> None:
    """Refuse a place for the page of `page4d view` before the work starts: only an earlier page is ever replaced.

    Raises:  UserError if the name is taken by another file, or its folder is not there or not writable.
    """
    if page.is_file():
        with page.open("rb") as stream:
            ours = _canvas() in stream.read(PAGE_HEAD)
        if not ours:
            raise UserError(f"{page} is there and no page of `page4d view`, so it stays; name another with --html")
    if not page.parent.is_dir():
        raise UserError(f"cannot write {page}: {page.parent} is no folder; make it first, or choose another --html")
    check_place(page.parent, "the folder of --html")


def _canvas() -> bytes:
    """How the canvas of every page of the viewer begins, up to the first full stop of what it says of itself."""
    page = (resources.files("page4d") / "viz" / "viewer_assets" / "viewer.html").read_bytes()
    return page[page.index(b"<canvas") :].partition(b".")[0]


def check_space(out: Path, needed_bytes: int) -> None:
    """Refuse a result that is larger than the space left for it.

    Raises:  UserError with both.
    """
    free = free_bytes(resolved(out))
    if free < needed_bytes:
        raise UserError(
            f"{out} takes about {needed_bytes / 1e6:.3g} MB and {free / 1e6:.3g} MB are free there; "
            "make room or choose another --out"
        )


def _check_writable(out: Path, parent: Path) -> None:
    existing = next(folder for folder in (parent, *parent.parents) if folder.exists())
    if not existing.is_dir():
        raise UserError(f"cannot make {out}: {existing} is a file; choose another place")
    try:
        # Trying is the only test that holds for every user and file system.
        Path(tempfile.mkdtemp(dir=existing, prefix=part_prefix("page4d"), suffix=SUFFIX)).rmdir()
    except OSError as error:
        raise UserError(f"cannot make {out}: {error.strerror}; choose a place that is writable") from error


def _files(folder: Path) -> list[str]:
    """All files of a folder; a link is a file, also where it points to a folder."""
    found = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    return sorted(str(path.relative_to(folder)) for path in found)


def listed_files(folder: Path) -> list[str]:
    """The files that a result was written with; none of a folder that is no result."""
    listing = folder / LISTING
    return sorted(_listed(listing.read_text(encoding="utf-8", errors="replace"))) if listing.is_file() else []


def remove_listed(folder: Path) -> None:
    """Remove the files that a result was written with, and the listing; what else is there stays."""
    known = {*listed_files(folder), LISTING}
    for name in _files(folder):
        if name in known:
            (folder / name).unlink()


def write_listing(folder: Path) -> None:
    """Name the files of a result in it, as the last of them."""
    (folder / LISTING).write_text(json.dumps(_files(folder), indent=0), encoding="utf-8")


def _foreign_files(folder: Path, marker: str) -> list[str]:
    known = set(listed_files(folder))
    # We write no links: one that bears a file's name has been put in its place by somebody.
    return [name for name in _files(folder) if name not in known | {marker, LISTING} or (folder / name).is_symlink()]


def _listed(text: str) -> set[str]:
    """The names of a listing: JSON, in which every name of a file can be said, or of an older run one a line."""
    try:
        return set(json.loads(text))
    except (ValueError, TypeError):
        return set(text.splitlines())


@contextmanager
def whole_folder(out: Path, overwrite: bool, marker: str) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its name when the block ends well, and is removed when it does not.

    Raises:  UserError as `check_out`, or if the folder cannot be made.
    """
    whole = resolved(out)
    try:
        whole.parent.mkdir(parents=True, exist_ok=True)
        sweep(whole.parent)
        temporary = Path(tempfile.mkdtemp(dir=whole.parent, prefix=part_prefix(whole.name), suffix=SUFFIX))
    except OSError as error:
        raise UserError(f"cannot make {out}: {error.strerror}; choose a place that is writable") from error
    try:
        yield temporary
        write_listing(temporary)
        temporary.chmod(0o777 & ~umask())
        check_out(out, overwrite, marker)
        replace_folder(temporary, whole)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, out: Path) -> None:
    """Rename `new` to `out`; an earlier `out` is moved aside first and deleted last, so that one stands."""
    if not out.exists():
        new.rename(out)
        return
    aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=part_prefix(out.name), suffix=ASIDE))
    try:
        out.rename(aside / out.name)
        try:
            new.rename(out)
        except BaseException:
            (aside / out.name).rename(out)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
