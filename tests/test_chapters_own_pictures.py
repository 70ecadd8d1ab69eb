"""Chapters on a reader's own pictures: no empty table, and no number about a truth that is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jupytext
import papermill
import pytest
from book_project import shipped_chapters
from PIL import Image

from page4d.world import split_clip

TAKE_PICTURES = [chapter for chapter in shipped_chapters() if "images" in chapter.parameters]
FEWER = {"clips": 2, "frames": 4}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of a moving scene in a folder, as a camera would leave them: larger than the network wants."""
    folder = tmp_path_factory.mktemp("mine")
    clip = split_clip("dynamic-test", 2, height=150, width=200, frames=3)
    for number, picture in enumerate(clip.images):
        pixels = (255 * picture.permute(1, 2, 0)).byte().numpy()
        Image.fromarray(pixels).save(folder / f"IMG_{number:04d}.jpg")
    return folder


def test_chapters_that_take_pictures_are_known() -> None:
    names = {chapter.name[:2] for chapter in TAKE_PICTURES}
    assert {"01", "03", "04", "15", "16", "19"} <= names


@pytest.mark.slow
@pytest.mark.parametrize("chapter", TAKE_PICTURES, ids=lambda chapter: chapter.name)
def test_a_chapter_runs_on_own_pictures(chapter: Any, pictures: Path, tmp_path: Path) -> None:
    given = {name: value for name, value in FEWER.items() if name in chapter.parameters} | {"images": str(pictures)}
    notebook = jupytext.read(chapter.path)
    ran = papermill.execute_notebook(
        notebook, str(tmp_path / "out.ipynb"), given, kernel_name="python3", cwd=str(tmp_path), progress_bar=False
    )
    for cell in ran.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            shown = str(data.get("text/markdown") or data.get("text/plain") or output.get("text", ""))
            assert "Empty DataFrame" not in shown, cell.source
            assert not re.search(r"\bnan\b", shown), cell.source
            assert "text/html" not in data or "<tbody>\n  </tbody>" not in data["text/html"], cell.source
