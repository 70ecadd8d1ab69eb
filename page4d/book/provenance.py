"""Where the output of a chapter comes from: data on disk, files that come with the package, versions, the machine."""

from __future__ import annotations

import ast
import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from page4d.evaluate.real_pictures import stereo_files
from page4d.io.checksums import ends_of
from page4d.io.weight_files import builtin_file
from page4d.shipped import stored_results
from page4d.version import code_revision, processor

VERSIONS = ("page4d", "torch", "torchvision", "numpy", "plotly", "papermill", "jupyter-book", "myst-nb", "Sphinx")
WRITTEN = frozenset({"out", "folder"})
"""Parameters that name a place for what a chapter makes, which is none of its data."""
EDGE_BYTES = 65_536


def data_hashes(parameters: Mapping[str, Any]) -> dict[str, str]:
    """A hash of what each parameter names on disk, a file or a folder; parameters that name nothing there have none.

    Note:    of every file the name, the size and the first and last 64 kB: data sets and weights are large.
    """
    places = {name: Path(value) for name, value in parameters.items() if isinstance(value, str) and value.strip()}
    return {name: _hash_of(place) for name, place in places.items() if name not in WRITTEN and place.exists()}


def shipped_hashes(code: str, parameters: Mapping[str, Any]) -> dict[str, str]:
    """A hash of each thing that comes with the package and that a chapter uses, by its name.

    These are the small networks that its parameters name, the stored results that its code asks for unless a parameter
    names others, and the stereo pair in scikit-image.
    """
    files = {name: [path] for name in _names_in(parameters) if (path := builtin_file(name)) is not None}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            match node.func.id, node.args:
                case "stored_results", [ast.Constant(value=str(kind)), *others]:
                    if not any(parameters.get(ast.unparse(other)) for other in others):
                        files[f"results of {kind}"] = sorted(stored_results(kind).glob("*.json"))
                case "stereo_pair", _:
                    files["stereo pair"] = stereo_files()
    return {name: _hash_all(files[name]) for name in sorted(files)}


def _names_in(parameters: Mapping[str, Any]) -> Iterator[str]:
    for value in parameters.values():
        if isinstance(value, str):
            yield from filter(None, (name.strip() for name in value.split(",")))


def _hash_all(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _hash_of(place: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if path.is_file():
            digest.update(ends_of(path, str(path.relative_to(place)), EDGE_BYTES))
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Python, the code's revision and the packages that decide what a page shows."""
    found = {"python": platform.python_version()}
    found |= {name: metadata.version(name) for name in VERSIONS}
    found["revision"] = code_revision()
    return found


def machine() -> dict[str, str]:
    """Processor, its cores, and the GPU if there is one."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {"processor": processor(), "cores": str(os.cpu_count()), "GPU": gpu, "system": platform.platform(terse=True)}


def machine_words() -> str:
    """The machine in a few words: its processor and its GPU."""
    parts = machine()
    return parts["processor"] if parts["GPU"] == "none" else f"{parts['processor']} and {parts['GPU']}"
