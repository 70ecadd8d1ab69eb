"""A virtual environment with nothing in it but a wheel and the packages that the wheel's core asks for.

The packages are links to those of the present environment, so nothing is fetched and torch is not copied.
"""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


def needed(requirements: Iterable[str], extra: str = "", seen: set[tuple[str, str]] | None = None) -> Iterator[str]:
    """The packages that requirements name, with those that these need in turn."""
    seen = set() if seen is None else seen
    for wanted in map(Requirement, requirements):
        key = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        for inner in ("", *wanted.extras):
            if (key, inner) not in seen:
                seen.add((key, inner))
                yield key
                yield from needed(metadata.requires(key) or (), inner, seen)


def requirements_of(wheel: Path) -> list[str]:
    """What a wheel asks for, its extras included (they carry a marker)."""
    (info,) = (path for path in zipfile.Path(wheel).iterdir() if path.name.endswith(".dist-info"))
    message = email.message_from_string((info / "METADATA").read_text(encoding="utf-8"))
    return message.get_all("Requires-Dist", [])


def make_venv(folder: Path, wheel: Path, packages: set[str]) -> Path:
    """Make the environment; its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (target,) = folder.glob("lib/python*/site-packages")
    here = Path(sysconfig.get_paths()["purelib"])
    for package in packages:
        files = metadata.files(package) or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if top.endswith(".dist-info"):
                shutil.copytree(here / top, target / top)  # links to these would not be seen
            elif not (target / top).exists():
                (target / top).symlink_to(here / top)
    programs = folder / "bin"
    uv = [str(Path(sys.executable).parent / "uv"), "pip"]
    python = ["--python", str(programs / "python")]
    subprocess.run([*uv, "install", "--quiet", "--offline", "--no-deps", *python, str(wheel)], check=True)
    subprocess.run([*uv, "check", "--quiet", *python], check=True)
    return programs
