"""Chapters on a reader's own pictures: no empty table, and no word about a truth that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import pytest
from book_project import shipped_chapters
from PIL import Image

from page4d.book.chapters import run_cells
from page4d.viz import write_video
from page4d.world import split_clip

TAKE_PICTURES = [chapter for chapter in shipped_chapters() if {"images", "video"} & chapter.parameters.keys()]
FEWER = {"clips": 2, "frames": 4, "max_frames": 3}

TRUTH = re.compile(r"\b(?:truth|truly|really moves?|true (?!of|to|for|and)\w+)\b", re.IGNORECASE)
"""A word about what is so, beside what was predicted."""

OF_WHAT = re.compile(
    r"synthetic|held-out|made[ -]up|rendered clip|exact (?:geometry|points|mask)|truth is known|it is known"
    r"|no truth|nobody knows the truth|nothing about the truth|taught by true motion|the world's true",
    re.IGNORECASE,
)
"""What a truth may be the truth of, whatever pictures are given; or that there is none."""


def unconditioned(text: str) -> Iterator[str]:
    """The paragraphs that speak of a truth and do not say of which pictures.

    Note:    what is quoted as code is a name, not a word.
    """
    for paragraph in re.split(r"\n\s*\n", re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)):
        if TRUTH.search(paragraph) and not OF_WHAT.search(paragraph):
            yield paragraph


def told(cell: Any) -> Iterator[str]:
    """What a cell prints and shows as words, its figure's caption, and what stands in it where it is prose."""
    if cell.cell_type == "markdown":
        yield cell.source
    yield cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        yield str(data.get("text/markdown") or data.get("text/plain") or output.get("text", ""))


@pytest.mark.parametrize("text", ["The true depth is below.", "Compare with the truth.\n\nA synthetic clip."])
def test_a_truth_of_nothing_is_found(text: str) -> None:
    assert len(list(unconditioned(text))) == 1
    assert list(unconditioned(text.replace("truth", "prediction").replace("true", "predicted"))) == []


def test_a_truth_of_something_is_none() -> None:
    assert (
        list(unconditioned("The true depth of a synthetic clip. `truth = views.truth`\n\nThat is true of all.")) == []
    )


@pytest.mark.parametrize("chapter", TAKE_PICTURES, ids=lambda chapter: chapter.name)
def test_prose_speaks_of_no_truth_that_own_pictures_have_not(chapter: Any) -> None:
    texts = [text for cell in jupytext.read(chapter.path).cells for text in told(cell)]
    assert [paragraph for text in texts for paragraph in unconditioned(text)] == []


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Three pictures of a moving scene, larger than the network wants: files as a camera leaves them, and a video."""
    folder = tmp_path_factory.mktemp("mine")
    clip = split_clip("dynamic-test", 2, height=150, width=200, frames=3)
    pictures = (255 * clip.images.permute(0, 2, 3, 1)).byte().numpy()
    (folder / "pictures").mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / "pictures" / f"IMG_{number:04d}.jpg")
    write_video(folder / "clip.mp4", pictures, fps=5.0)
    return {"images": str(folder / "pictures"), "video": str(folder / "clip.mp4")}


def test_chapters_that_take_pictures_are_known() -> None:
    names = {chapter.name[:2] for chapter in TAKE_PICTURES}
    assert {"01", "02", "03", "04", "15", "16", "17", "19"} <= names


@pytest.mark.slow
@pytest.mark.parametrize("chapter", TAKE_PICTURES, ids=lambda chapter: chapter.name)
def test_a_chapter_runs_on_own_pictures(chapter: Any, mine: dict[str, str], tmp_path: Path) -> None:
    given = {name: value for name, value in (FEWER | mine).items() if name in chapter.parameters}
    notebook = jupytext.read(chapter.path)
    ran = run_cells(notebook, given, tmp_path / "out.ipynb", tmp_path)
    for cell in ran.cells:
        for shown in told(cell):
            assert list(unconditioned(shown)) == [], cell.source
        for output in cell.get("outputs", ()):
            assert shows_something(output), cell.source


def shows_something(output: Any) -> bool:
    """Whether an output is no empty table and every number in it is one."""
    data = output.get("data", {})
    shown = str(data.get("text/markdown") or data.get("text/plain") or output.get("text", ""))
    table = str(data.get("text/html", ""))
    empty = "Empty DataFrame" in shown or "<tbody>\n  </tbody>" in table
    nothing = re.search(r"\bnan\b", shown) or re.search(r"<td[^>]*>[^<]*\bnan\b", table, re.IGNORECASE)
    return not empty and not nothing


@pytest.mark.parametrize(
    ("data", "shows"),
    [
        ({"text/plain": "1.0 nan"}, False),
        ({"text/plain": "x", "text/html": "<td>NaN</td>"}, False),
        ({"text/plain": "Empty DataFrame\nColumns: []"}, False),
        ({"text/plain": "1.0"}, True),
    ],
)
def test_an_output_without_numbers_is_found(data: dict[str, str], shows: bool) -> None:
    assert shows_something({"data": data}) is shows
