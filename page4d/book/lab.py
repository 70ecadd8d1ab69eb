"""Chapters in JupyterLab: what is saved there holds no outputs and no trace of the machine that ran it.

`make lab` starts a server whose contents manager calls `strip_outputs` before it writes; the pre-commit hook does the
same to notebooks that were saved in any other way, by `python -m page4d.book.lab FILES`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from page4d.schema import atomic_write

# Servers name the kernel as they please ("Python 3 (ipykernel)"); the chapters' header has this.
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
HEADER = re.compile(r"# ---\n(?:#.*\n)*?# ---\n")
# What myst-nb, papermill and jupytext read; the rest is about one execution on one machine.
KEPT_METADATA = ("tags", "mystnb", "lines_to_next_cell")


def strip_outputs(model: dict[str, Any], **_: Any) -> None:
    """Jupyter's hook before saving: a notebook goes to the disk without outputs; the browser keeps showing them.

    Note:  jupytext writes a chapter's script as a text file of its own, which passes here, too.
    """
    content = model.get("content")
    if model.get("type") == "notebook" and content:
        strip(content)
    elif model.get("type") == "file" and isinstance(content, str):
        model["content"] = with_our_kernel_name(content)


def with_our_kernel_name(script: str) -> str:
    """A percent script whose header calls our kernel as the chapters do; any other text stays as it is."""
    header = HEADER.match(script)
    if header is None or f"name: {KERNELSPEC['name']}\n" not in header[0]:
        return script
    named = re.sub(r"display_name: .*", f"display_name: {KERNELSPEC['display_name']}", header[0])
    return named + script[header.end() :]


def strip(notebook: dict[str, Any]) -> None:
    """Take outputs, execution counts and what one machine added out of a notebook, in place."""
    for cell in notebook.get("cells", ()):
        metadata = cell.get("metadata", {})
        cell["metadata"] = {name: metadata[name] for name in metadata if name in KEPT_METADATA}
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    metadata = notebook.get("metadata", {})
    metadata.pop("language_info", None)
    metadata.pop("widgets", None)
    if metadata.get("kernelspec", {}).get("name") == KERNELSPEC["name"]:
        metadata["kernelspec"] = dict(KERNELSPEC)


def strip_files(paths: Sequence[Path]) -> list[Path]:
    """Strip notebooks where they lie; returns those that changed."""
    changed = []
    for path in paths:
        before = path.read_text(encoding="utf-8")
        notebook = json.loads(before)
        strip(notebook)
        # As nbformat and jupytext write it, so that a clean notebook stays as it is, byte for byte.
        after = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        if after != before:
            with atomic_write(path, "w") as stream:
                stream.write(after)
            changed.append(path)
    return changed


if __name__ == "__main__":
    for stripped in strip_files([Path(name) for name in sys.argv[1:]]):
        print("took outputs out of", stripped)
