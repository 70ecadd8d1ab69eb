"""Files that come with the package: inside it where it is installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

from page4d.schema import UserError

# Name in the wheel -> place in a checkout; pyproject.toml says the same to the builder of the wheel.
PLACES = {"conf": "conf", "results": "book/results", "speed": "benchmarks/results"}


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
    """The folder of the results of a kind that come with the package, or the one given.

    Kinds are "runs", "study" and "builtin", of networks, and "speed", of what `benchmarks/` measured on machines.

    Note:    of a kind that has no results yet the folder is not there; whoever reads it says so.
    """
    if str(instead):
        return Path(instead)
    return shipped("speed") if kind == "speed" else shipped("results") / kind
