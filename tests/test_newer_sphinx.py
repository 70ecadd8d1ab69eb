"""The book's sources with plain Sphinx 9, without Jupyter Book: the way that stays open when it is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from book_project import ROOT, shipped_chapters

from page4d.book.chapters import Chapter, Execution
from page4d.book.commands import commands_page
from page4d.book.site import pages_of, stage
from page4d.book.sphinx import PLOTLY_MIME
from page4d.cli import full_parser

pytestmark = pytest.mark.slow

NEWER = [
    "sphinx>=9,<10",
    "myst-parser>=5.2",
    "myst-nb>=1.4",
    "sphinx-book-theme>=1.4",
    "sphinx-external-toc",
    "sphinxcontrib-bibtex",
    "sphinx-design",
    "sphinx-copybutton",
    "sphinx-togglebutton",
    "sphinx-multitoc-numbering",
    "linkify-it-py",
]
# Parts of Jupyter Book that pages of ours do not use.
LEFT_OUT = ("jupyter_book", "sphinx_thebe", "sphinx_comments", "sphinx_jupyterbook_latex")
SETTINGS = ("use_jupyterbook_latex", "comments_config")
TURNABLE = {"data": [{"type": "scatter3d", "x": [0], "y": [0], "z": [0]}], "layout": {}}
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="


def run(*words: str, path: str = "") -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH", "")]))}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_stand_ins(chapter: Chapter) -> nbformat.NotebookNode:
    """A chapter as if it had run: a stand-in for every figure, so that references to it by number have a target."""
    notebook = jupytext.read(chapter.path)
    for cell in notebook.cells:
        if "figure" in cell.metadata.get("mystnb", {}):
            shown: dict[str, Any] = {PLOTLY_MIME: TURNABLE} if chapter.name.startswith("02") else {"image/png": DOT}
            cell.outputs = [nbformat.v4.new_output("display_data", data=shown)]
    return notebook


def executed(folder: Path) -> list[Execution]:
    """Every chapter of the book: what `make book` executed where it has, else with stand-ins."""
    folder.mkdir()
    done = []
    for chapter in shipped_chapters():
        ran = ROOT / "build" / "book" / "executed" / f"{chapter.name}.ipynb"
        if ran.is_file():
            shutil.copy(ran, folder)
        else:
            nbformat.write(with_stand_ins(chapter), folder / ran.name)
        done.append(Execution(chapter.name, chapter.name, 1.0, "2026-01-02T03:04:05+00:00", {}, "key"))
    return done


def test_the_stand_in_is_a_picture() -> None:
    assert b64decode(DOT).startswith(b"\x89PNG")


def test_the_whole_book_builds_without_jupyter_book_and_without_a_warning(tmp_path: Path) -> None:
    folder, source, html = tmp_path / "executed", tmp_path / "source", tmp_path / "html"
    stage(ROOT, source, folder, executed(folder), {"commands": commands_page(*full_parser())})
    run(str(Path(sys.executable).parent / "jupyter-book"), "config", "sphinx", str(source))
    conf = source / "conf.py"
    lines = [line for line in conf.read_text().splitlines() if not line.startswith(SETTINGS)]
    lines.append(f"extensions = [name for name in extensions if name not in {LEFT_OUT}]")
    conf.write_text("\n".join(lines))

    # A folder in front of this environment: the newer packages, and everything else as it is.
    newer = str(tmp_path / "newer")
    run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", newer, *NEWER)
    assert run(sys.executable, "-m", "sphinx", "--version", path=newer).startswith("sphinx-build 9.")
    run(sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(source), str(html), path=newer)
    pages = {name: (html / f"{name}.html").read_text() for name in pages_of(tmp_path)}
    assert sum(name.startswith("notebooks/") for name in pages) == len(shipped_chapters())
    assert 'class="page4d-plotly"' in pages["notebooks/02_conventions_and_geometry"]
    assert 'href="../references.html#' in pages["notebooks/10_monocular_depth"]
    assert "page4d.predict" in pages["reference"]
