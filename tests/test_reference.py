"""The API reference: every public name is on it, docstrings become what Sphinx reads, examples run."""

from __future__ import annotations

import doctest
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from page4d.book.reference import (
    DOORS,
    add_names_used,
    docstring_in_rest,
    examples_of,
    names_used,
    public_names,
    reference_page,
    registered,
)

ROOT = Path(__file__).parent.parent
EXAMPLES = examples_of((ROOT / "book" / "examples.md").read_text(encoding="utf-8"))
FEWEST_EXAMPLES = 30


def test_every_public_name_has_a_directive():
    lines = reference_page().splitlines()
    for door in DOORS:
        assert f"## {door}" in lines
        assert public_names(door)
        for name in public_names(door):
            assert sum(line.endswith(f":: {door}.{name}") for line in lines) == 1, name
    assert not any(line.endswith(":: page4d.evaluate") for line in lines), "rooms have sections, not directives"


def test_examples_are_of_public_names():
    offered = {f"{door}.{name}" for door in DOORS for name in public_names(door)}
    assert sorted(EXAMPLES.keys() - offered) == []
    assert len(EXAMPLES) >= FEWEST_EXAMPLES
    text = (ROOT / "book" / "examples.md").read_text(encoding="utf-8")
    assert text.count("\n## ") == len(EXAMPLES) == text.count("```python"), "an example that is not read"


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_does_what_it_says(name):
    test = doctest.DocTestParser().get_doctest(EXAMPLES[name], {}, name, "book/examples.md", 0)
    assert test.examples
    told: list[str] = []
    doctest.DocTestRunner().run(test, out=told.append)
    assert told == []
    assert name.rpartition(".")[2] in EXAMPLES[name]


def test_labels_become_fields_and_signs_stay_signs():
    text = """Lift *all* maps of `depth` (see E15).

    Shapes:  depth (*, H, W) -> (*, H, W, 3);
             leading_axes match.
    Raises:  ValueError if not.
    """
    done = docstring_in_rest(text.splitlines(), ">>> 1 + 1\n2\n")
    assert done[0] == r"Lift \*all\* maps of ``depth`` (see `E15 <differences.html#e15>`__)."
    assert r":Shapes: depth (\*, H, W) -> (\*, H, W, 3);" in done
    assert r"    leading\_axes match." in done
    assert ":Raises: ValueError if not." in done
    assert done.index(">>> 1 + 1") > done.index(":Raises: ValueError if not.")


def test_indented_lines_are_a_block():
    done = docstring_in_rest(["Do this.", "", "    model = load()", "    model.run()", "", "And that."])
    assert done[: done.index("And that.") + 1][-1] == "And that."
    start = done.index("::")
    assert done[start + 1 : start + 4] == ["", "    model = load()", "    model.run()"]


def test_a_chapter_ends_with_the_names_that_it_uses(tmp_path):
    source = "import page4d\nfrom page4d.evaluate import interval\nfrom numpy import array\nx = page4d.predict(1)"
    assert list(names_used(source)) == ["page4d.evaluate.interval", "page4d.predict"]
    path = tmp_path / "chapter.ipynb"
    cells = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": [source]}]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    add_names_used(path)
    last = json.loads(path.read_text())["cells"][-1]
    assert last["cell_type"] == "markdown"
    assert "{py:obj}`page4d.evaluate.interval <page4d.evaluate.interval>`, " in last["source"]
    assert "{py:obj}`page4d.predict <page4d.predict>`" in last["source"]


def test_a_name_of_two_doors_leads_to_the_one_that_is_registered():
    assert registered("page4d.result.moving_mask") == "page4d.moving_mask"
    assert registered("page4d.evaluate.interval") == "page4d.evaluate.interval"


def test_the_doors_are_those_of_the_package():
    offered = {f"page4d.{name}" for name in importlib.import_module("page4d").__all__}
    assert {door for door in DOORS if door != "page4d"} <= offered


@pytest.mark.slow
def test_the_page_is_built_without_a_warning(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    extensions = ["myst_parser", "page4d.book.sphinx"]
    settings = {"project": "x", "extensions": extensions, "html_theme": "basic", "exclude_patterns": ["examples.md"]}
    settings["myst_enable_extensions"] = ["dollarmath"]
    lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
    (source / "conf.py").write_text("".join(lines), encoding="utf-8")
    (source / "index.md").write_text(
        "# Start\n\n```{toctree}\nreference\ndifferences\n```\n\n{py:obj}`page4d.predict`\n"
    )
    (source / "reference.md").write_text(reference_page(), encoding="utf-8")
    for name in ("examples.md", "differences.md"):
        shutil.copy(ROOT / "book" / name, source)
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(source), str(tmp_path / "html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    warnings = [line for line in done.stderr.splitlines() if "notebooks/" not in line]
    assert (done.returncode, warnings) == (0, [])
    page = (tmp_path / "html" / "reference.html").read_text(encoding="utf-8")
    assert 'id="page4d.predict"' in page
    assert 'href="reference.html#page4d.predict"' in (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
