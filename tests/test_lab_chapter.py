"""The quickstart in JupyterLab: double-clicked and run as a whole, no cell fails, and its 3-D figure has colours."""

from __future__ import annotations

import io
import shutil
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from book_project import ROOT, write_project
from PIL import Image
from test_book_browser import coloured_share
from test_lab import CHROMIUM, PATIENCE_S, TOKEN, ask, server, wait_for_kernel

from page4d.book.pdf import FLAGS

__all__ = ["server"]  # the fixture, which finds the folder below by its name

pytestmark = pytest.mark.slow

CHAPTER = "01_quickstart"
# Only what is near the window is in the page: a cell's number and a figure are there once they are scrolled to.
DOWN = """() => {
  const panel = document.querySelector(".jp-Notebook .jp-WindowedPanel-outer");
  panel.scrollTop += 0.7 * panel.clientHeight;
  return panel.scrollTop + panel.clientHeight > panel.scrollHeight - 9;
}"""
TO = """(top) => {
  const panel = document.querySelector(".jp-Notebook .jp-WindowedPanel-outer");
  panel.scrollTop = top;
  return top < panel.scrollHeight - panel.clientHeight;
}"""
LAST_NUMBER = """() => Math.max(...[...document.querySelectorAll(".jp-InputPrompt")]
  .map(prompt => Number((prompt.textContent.match(/\\d+/) || [0])[0])), 0)"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project with the real quickstart."""
    project = write_project(tmp_path_factory.mktemp("quickstart") / "project")
    (project / "notebooks" / "01_small.py").unlink()
    shutil.copy(ROOT / "notebooks" / f"{CHAPTER}.ipynb", project / "notebooks")
    return project


def wait_until_run(page: Any, server: str, cells: int) -> None:
    """Until the last cell has run; after one that fails JupyterLab runs no other."""
    end = time.monotonic() + 2 * PATIENCE_S
    while time.monotonic() < end:
        (session,) = ask(f"{server}/api/sessions")
        if page.evaluate(DOWN) and session["kernel"]["execution_state"] == "idle":
            if page.evaluate(LAST_NUMBER) == cells:
                return
            failed = page.locator("[data-mime-type='application/vnd.jupyter.error']")
            assert failed.count() == 0, failed.first.inner_text()
        page.wait_for_timeout(1000)
    raise AssertionError(f"cell {page.evaluate(LAST_NUMBER)} of {cells} is the last one that ran")


def figures_of(page: Any) -> list[Image.Image]:
    """Pictures of the interactive figures, from the top to the end, by the height at which they stand."""
    found: dict[int, Image.Image] = {}
    top = 0
    while page.evaluate(TO, top):
        page.wait_for_timeout(1000)
        for holder in page.query_selector_all(".jp-Notebook .js-plotly-plot:has(canvas)"):
            box = holder.bounding_box()
            if box is not None and (top + box["y"]) // 100 not in found:
                found[(top + box["y"]) // 100] = Image.open(io.BytesIO(holder.screenshot()))
                page.evaluate(TO, top)
        top += 600
    return list(found.values())


def test_the_quickstart_runs_in_jupyterlab_and_its_scene_has_colours(checkout: Path, server: str) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    notebook = nbformat.read(checkout / "notebooks" / f"{CHAPTER}.ipynb", 4)
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(f"{server}/lab?token={TOKEN}&reset")
        page.get_by_text(f"{CHAPTER}.ipynb", exact=True).dblclick()
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        wait_for_kernel(server)
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", state="attached")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        wait_until_run(page, server, cells)
        figures = figures_of(page)
        browser.close()
    assert figures
    assert min(coloured_share(figure) for figure in figures) > 0.005
