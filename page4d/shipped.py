"""Files that come with the package: inside it where it is installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from page4d.schema import UserError

# Name in the wheel -> place in a checkout; pyproject.toml says the same to the builder of the wheel.
PLACES = {"conf": "conf", "results": "book/results"}


def shipped(name: str) -> Path:
    """The folder of that name.

    Raises:  UserError if it is neither in the package nor beside it.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / name, package.parent / PLACES[name]):
        if folder.is_dir():
            return folder
    raise UserError(f"no {name} in or beside {package}; reinstall page4d")


def stored_results(kind: str, instead: str | Path = "") -> Path:
    """The folder of the results of a kind ("runs", "study", "builtin") that come with the package, or the one given.

    Note:    of a kind that has no results yet the folder is not there; whoever reads it says so.
    """
    return Path(instead) if str(instead) else shipped("results") / kind
