"""Chapters in JupyterLab: opened in words, saved without outputs and without a trace of the machine that ran them.

`make lab` starts a server with the contents manager of this module. It puts words for MyST into a chapter that is
opened and takes them out again when it is saved, and calls `strip_outputs` before it writes. The pre-commit hook strips
notebooks that were saved in any other way, by `python -m page4d.book.lab FILES`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from page4d.book.chapters import toc_entries
from page4d.book.shown import names_of, page_in_words, show, store
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


def chapters_manager() -> Any:
    """The class of Jupyter's contents manager that shows chapters in words; jupytext's, which keeps pairs, is below it.

    Note:  chapters that are opened otherwise, a chapter's script in the editor and a download are the source as it is.
           Pages of the book, to which chapters link, open beside the chapters, for reading alone.
    """
    from jupyter_server.services.contents.filemanager import AsyncFileContentsManager
    from jupytext import AsyncTextFileContentsManager

    class ChaptersManager(AsyncTextFileContentsManager):  # type: ignore[misc]
        async def get(self, path: str, *args: Any, **options: Any) -> dict[str, Any]:
            place = Path(self._get_os_path(path.strip("/")))
            page = place.parent.parent / "book" / place.name
            if _is_page(page) and place.parent.name == "notebooks" and not place.exists():
                pages = AsyncFileContentsManager(root_dir=str(page.parent))
                opened: dict[str, Any] = await pages.get(page.name, *args, **options)
                content = opened["content"] and page_in_words(opened["content"])
                return opened | {"path": path, "content": content, "writable": False}
            opened = await super().get(path, *args, **options)
            notebook = opened["type"] == "notebook" and opened["content"]
            if notebook and _is_chapter(place):
                show(notebook, names_of(place.stem, notebook["cells"], page.parent, place.parent))
            return opened

        async def save(self, model: dict[str, Any], path: str = "") -> Any:
            if model["type"] == "notebook" and model.get("content"):
                store(model["content"])
            return await super().save(model, path)

    return ChaptersManager


def _is_page(path: Path) -> bool:
    return path.suffix in (".md", ".bib") and path.is_file()


def _is_chapter(path: Path) -> bool:
    toc = path.parent.parent / "book" / "_toc.yml"
    if path.parent.name != "notebooks" or not toc.is_file():
        return False
    entries = toc_entries(yaml.safe_load(toc.read_text(encoding="utf-8")))
    return f"notebooks/{path.stem}" in [entry["file"] for entry in entries]


if __name__ == "__main__":
    for stripped in strip_files([Path(name) for name in sys.argv[1:]]):
        print("took outputs out of", stripped)
