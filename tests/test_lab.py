"""Chapters in JupyterLab: saving there leaves nothing behind that git tracks but what was edited."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from book_project import ROOT

from page4d.book.lab import KERNELSPEC, strip, strip_files, strip_outputs


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
