"""Chapters in JupyterLab: saving there leaves nothing behind that git tracks but what was edited."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from book_project import CHAPTER, ROOT, write_project

from page4d.book.lab import KERNELSPEC, strip, strip_files, strip_outputs
from page4d.book.pdf import FLAGS

CHROMIUM = shutil.which("chromium")
TOKEN = "t0ken"
PATIENCE_S = 240  # a machine with other work


def executed() -> dict[str, Any]:
    """A notebook as a server hands it over after its cells ran."""
    code = {
        "cell_type": "code",
        "id": "one",
        "execution_count": 7,
        "metadata": {"tags": ["parameters"], "execution": {"iopub": "now"}, "collapsed": True},
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "4"}],
        "source": "print(4)",
    }
    text = {"cell_type": "markdown", "id": "two", "metadata": {"jp-MarkdownHeadingCollapsed": True}, "source": "# A"}
    metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"version": "3.12.1"},
        "jupytext": {"formats": "ipynb,py:percent"},
    }
    return {"cells": [code, text], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def test_what_one_machine_added_is_taken_out() -> None:
    notebook = executed()
    strip(notebook)
    code, text = notebook["cells"]
    assert (code["outputs"], code["execution_count"], code["metadata"]) == ([], None, {"tags": ["parameters"]})
    assert code["source"] == "print(4)"
    assert text == {"cell_type": "markdown", "id": "two", "metadata": {}, "source": "# A"}
    assert notebook["metadata"] == {"kernelspec": KERNELSPEC, "jupytext": {"formats": "ipynb,py:percent"}}


def test_the_hook_leaves_files_that_are_no_notebooks_alone() -> None:
    model = {"type": "file", "content": "outputs"}
    strip_outputs(model, path="a.py", contents_manager=None)
    assert model["content"] == "outputs"
    strip_outputs({"type": "notebook", "content": None})


def test_a_kernel_of_another_name_is_kept() -> None:
    notebook = executed()
    notebook["metadata"]["kernelspec"] = {"display_name": "Mine", "name": "mine"}
    strip(notebook)
    assert notebook["metadata"]["kernelspec"]["name"] == "mine"


def test_only_the_header_of_a_script_names_the_kernel() -> None:
    header = "# ---\n# jupyter:\n#   kernelspec:\n#     display_name: {}\n#     name: python3\n# ---\n"
    script = f"{header}\n# display_name: {{}}\n"
    model = {"type": "file", "content": script.format("Python 3 (ipykernel)", "x")}
    strip_outputs(model)
    assert model["content"] == script.format("Python 3", "x")
    other = script.format("Mine", "x").replace("name: python3", "name: mine")
    model = {"type": "file", "content": other}
    strip_outputs(model)
    assert model["content"] == other


def test_clean_notebooks_stay_as_they_are_byte_for_byte(tmp_path: Path) -> None:
    copies = [Path(shutil.copy(path, tmp_path)) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    assert copies
    assert strip_files(copies) == []
    spoiled = json.loads(copies[0].read_text())
    spoiled["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "4"}]
    before = copies[0].read_bytes()
    copies[0].write_text(json.dumps(spoiled))
    assert strip_files(copies) == copies[:1]
    assert json.loads(copies[0].read_text()) == json.loads(before)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project under git, with one chapter and its pair."""
    header = (ROOT / "notebooks" / "01_quickstart.py").read_text().split("\n# %%", 1)[0]
    project = write_project(tmp_path_factory.mktemp("lab") / "project", f"{header}\n{CHAPTER}")
    shutil.copy(ROOT / "jupytext.toml", project)
    shutil.copy(ROOT / ".gitignore", project)
    run(project, sys.executable, "-m", "jupytext", "--sync", "notebooks/01_small.py")
    run(project, "git", "init", "-q")
    run(project, "git", "add", "-A")
    run(project, "git", "-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "first")
    return project


def run(folder: Path, *words: str) -> str:
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def server(checkout: Path) -> Iterator[str]:
    """JupyterLab as `make lab` starts it, without opening a browser; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if "jupyter lab" in line]
    words = line.replace("$(BIN)/jupyter lab", "").split()
    command = [sys.executable, "-m", "jupyterlab", *words, "--no-browser", f"--port={port}", "--allow-root"]
    command += [f"--IdentityProvider.token={TOKEN}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JUPYTER_PREFER_ENV_PATH": "1"}
    with (checkout.parent / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            wait_for(f"{address}/api/status", process)
            yield address
        finally:
            process.terminate()
            process.wait(30)


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            ask(address)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server did not start")


def ask(address: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(address, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def wait_for_kernel(server: str) -> None:
    """Until the opened chapter has a kernel at rest that the page listens to.

    The page's own light says idle before there is a kernel, and cells that are run then are silently left out.
    """
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        kernels = [session["kernel"] for session in ask(f"{server}/api/sessions")]
        if any(kernel["execution_state"] == "idle" and kernel["connections"] > 0 for kernel in kernels):
            return
        time.sleep(0.5)
    raise AssertionError("the chapter's kernel did not start")


@pytest.mark.slow
def test_saving_through_the_server_changes_nothing_that_git_tracks(checkout: Path, server: str) -> None:
    address = f"{server}/api/contents/01_small.ipynb"
    model = ask(address)
    downloaded = ask(f"{server}/files/01_small.ipynb")
    assert downloaded == json.loads((checkout / "notebooks" / "01_small.ipynb").read_text())
    for number, cell in enumerate(cell for cell in model["content"]["cells"] if cell["cell_type"] == "code"):
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "4"}]
        cell["execution_count"] = number + 1
        cell["metadata"]["execution"] = {"iopub.status.idle": "2026"}
    model["content"]["metadata"]["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
    model["content"]["metadata"]["language_info"] = {"version": "3.12.1"}
    ask(address, "PUT", {"type": "notebook", "format": "json", "content": model["content"]})
    assert run(checkout, "git", "diff") == ""

    (first,) = [c for c in model["content"]["cells"] if c["source"].startswith("from myst_nb")]
    first["source"] = first["source"].replace("sum(range(count))", "sum(range(count + 1))")
    ask(address, "PUT", {"type": "notebook", "format": "json", "content": model["content"]})
    changed = [line for line in run(checkout, "git", "diff", "--unified=0").splitlines() if line[:2] in ("+g", "-g")]
    assert changed == [
        '-glue("total", sum(range(count)), display=False)',
        '+glue("total", sum(range(count + 1)), display=False)',
    ]
    run(checkout, "git", "checkout", "-q", ".")


@pytest.mark.slow
def test_a_chapter_opens_runs_and_saves_in_the_browser(checkout: Path, server: str) -> None:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(f"{server}/lab?token={TOKEN}&reset")
        page.get_by_text("01_small.ipynb", exact=True).dblclick()
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.get_by_role("link", name="(Wang et al., 2025)").wait_for()
        page.locator(".jp-MarkdownCell", has_text="Fig. 1.1 Points on a spiral.").wait_for(state="attached")
        wait_for_kernel(server)
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", state="attached")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        # Cells out of sight are drawn when they are scrolled to.
        to_the_end = "() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')].at(-1).scrollIntoView()"
        end = time.monotonic() + PATIENCE_S
        while page.locator(".jp-OutputArea canvas").count() == 0 and time.monotonic() < end:
            page.evaluate(to_the_end)
            page.wait_for_timeout(1000)
        assert page.locator(".jp-OutputArea canvas").count() > 0, page.locator(".jp-Notebook").inner_text()
        assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        page.keyboard.press("Control+s")
        page.wait_for_timeout(3000)
        browser.close()
    assert run(checkout, "git", "status", "--porcelain") == ""
