"""The book's sources with plain Sphinx 9, without Jupyter Book: the way that stays open when it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from book_project import write_project

from page4d.cli import main

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


def run(*words: str, path: str = "") -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH", "")]))}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_sources_build_without_jupyter_book_and_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = write_project(tmp_path / "project")
    monkeypatch.chdir(project)
    assert main(["book"]) == 0
    source = project / "build" / "book" / "source"
    run(str(Path(sys.executable).parent / "jupyter-book"), "config", "sphinx", str(source))
    conf = source / "conf.py"
    lines = [line for line in conf.read_text().splitlines() if not line.startswith(SETTINGS)]
    lines.append(f"extensions = [name for name in extensions if name not in {LEFT_OUT}]")
    conf.write_text("\n".join(lines))

    # A folder in front of this environment: the newer packages, and everything else as it is.
    newer = str(tmp_path / "newer")
    run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", newer, *NEWER)
    assert run(sys.executable, "-m", "sphinx", "--version", path=newer).startswith("sphinx-build 9.")
    html = tmp_path / "html"
    run(sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(source), str(html), path=newer)
    page = (html / "notebooks" / "01_small.html").read_text()
    assert 'class="page4d-plotly"' in page
    assert "The sum is" in page
    assert 'href="../references.html#' in page
