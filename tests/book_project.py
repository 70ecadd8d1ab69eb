"""A project with a book of one small chapter, for the tests of `page4d book`."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

from page4d.book.chapters import Chapter, find_chapters

ROOT = Path(__file__).parent.parent


@cache
def shipped_chapters() -> list[Chapter]:
    """The chapters of the book itself, read once for all test files."""
    return find_chapters(ROOT)


CHAPTER = """\
# %% [markdown]
# # A small chapter
#
# **Result**: a sum. The formula $a^2 + b^2 = c^2$ and the source {cite}`wang2025vggt`.

# %% tags=["parameters"]
count = 40
name = "0005"
scale = 1.0
device = None

# %%
from myst_nb import glue

glue("total", sum(range(count)), display=False)

# %% [markdown]
# The sum is {glue:text}`total`, and 50 % of it is a half of $s$, no more.

# %% mystnb={"figure": {"caption": "Points on a spiral.", "name": "fig-spiral"}}
import plotly.graph_objects as go

steps = list(range(count))
marker = {"size": 8, "color": steps, "colorscale": [[0, "red"], [1, "blue"]]}
spiral = go.Scatter3d(x=steps, y=[s % 7 for s in steps], z=[s % 5 for s in steps], mode="markers", marker=marker)
go.Figure(spiral, frames=[go.Frame(data=[spiral], name="0")])
"""

TOC = """\
format: jb-book
root: intro
parts:
  - caption: Chapters
    numbered: true
    chapters:
      - file: notebooks/01_small
  - caption: About
    chapters:
      - file: status
      - file: references
"""


def write_project(folder: Path, chapter: str = CHAPTER) -> Path:
    """The real book's configuration with one chapter, `01_small`."""
    shutil.copytree(ROOT / "book", folder / "book")
    (folder / "book" / "intro.md").write_text("# A small book\n\nOne chapter.\n\n{{ small_networks }}\n")
    (folder / "book" / "_toc.yml").write_text(TOC)
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "01_small.py").write_text(chapter)
    return folder
