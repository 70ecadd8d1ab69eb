"""The API reference: every public name is on it, docstrings become what Sphinx reads, examples run."""

from __future__ import annotations

import doctest
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from page4d.book.reference import (
    DOORS,
    add_names_used,
    docstring_in_rest,
    examples_in,
    examples_of,
    names_used,
    public_names,
    reference_page,
    registered,
)

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "book" / "examples"
EXAMPLES = examples_in(FOLDER)
SERVED = {code: [name for name in EXAMPLES if EXAMPLES[name] == code] for code in EXAMPLES.values()}


def test_every_public_name_has_a_directive():
    lines = reference_page().splitlines()
    for door in DOORS:
        assert f"## {door}" in lines
        assert public_names(door)
        for name in public_names(door):
            assert sum(line.endswith(f":: {door}.{name}") for line in lines) == 1, name
    assert not any(line.endswith(":: page4d.evaluate") for line in lines), "rooms have sections, not directives"


def test_every_public_name_has_an_example():
    offered = {f"{door}.{name}" for door in DOORS for name in public_names(door)}
    assert sorted(EXAMPLES.keys() - offered) == []
    assert sorted(offered - EXAMPLES.keys()) == [], "public names without an example in book/examples"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_every_section_of_examples_is_read(path):
    text = path.read_text(encoding="utf-8")
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert text.count("```python") == len(headings)
    names = ", ".join(headings).split(", ")
    assert sorted(names) == sorted(examples_of(text)), "a name twice, or an example that is not read"


@pytest.mark.parametrize("code", SERVED, ids=lambda code: SERVED[code][0])
def test_an_example_does_what_it_says(code):
    import matplotlib.pyplot as plt

    for words, module in (("needs pycolmap", "pycolmap"), ("needs scikit-image", "skimage")):
        if words in code:
            pytest.importorskip(module)
    test = doctest.DocTestParser().get_doctest(code, {}, SERVED[code][0], "book/examples", 0)
    assert any(example.want for example in test.examples) or "check_parameters" in code
    told: list[str] = []
    doctest.DocTestRunner().run(test, out=told.append)
    plt.close("all")
    assert told == []
    words = set(re.findall(r"\w+", code))
    assert [name for name in SERVED[code] if name.rpartition(".")[2] not in words] == []


def test_an_example_serves_every_name_of_its_heading_and_a_value_has_it_on_the_page():
    code = ">>> from page4d.world import SPLITS\n>>> len(SPLITS)\n12\n"
    found = examples_of(f"## page4d.world.SPLITS, page4d.world.Batch\n\n```python\n{code}```\n")
    assert found == {"page4d.world.SPLITS": code, "page4d.world.Batch": code}
    lines = reference_page(found).splitlines()
    start = lines.index(".. py:data:: page4d.world.SPLITS")
    assert "   >>> len(SPLITS)" in lines[start : start + 8]
    assert sum(line.endswith(">>> len(SPLITS)") for line in lines) == 1, "Batch has a docstring for it"


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
    source += "\nfrom page4d.prepare import tum"
    path = tmp_path / "chapter.ipynb"
    cells = [{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": [source]}]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    add_names_used(path)
    last = json.loads(path.read_text())["cells"][-1]
    assert last["cell_type"] == "markdown"
    assert "{py:obj}`page4d.evaluate.interval <page4d.evaluate.interval>`, " in last["source"]
    assert "{py:obj}`page4d.predict <page4d.predict>`" in last["source"]
    assert "tum" not in last["source"], "a room is no entry of the reference"


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
    settings = {"project": "x", "extensions": extensions, "html_theme": "basic", "exclude_patterns": ["examples/*"]}
    settings["myst_enable_extensions"] = ["dollarmath"]
    lines = [f"{name} = {value!r}\n" for name, value in settings.items()]
    (source / "conf.py").write_text("".join(lines), encoding="utf-8")
    (source / "index.md").write_text(
        "# Start\n\n```{toctree}\nreference\ndifferences\n```\n\n{py:obj}`page4d.predict`\n"
    )
    (source / "reference.md").write_text(reference_page(EXAMPLES), encoding="utf-8")
    shutil.copytree(FOLDER, source / "examples")
    shutil.copy(ROOT / "book" / "differences.md", source)
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(source), str(tmp_path / "html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    warnings = [line for line in done.stderr.splitlines() if "notebooks/" not in line]
    assert (done.returncode, warnings) == (0, [])
    page = (tmp_path / "html" / "reference.html").read_text(encoding="utf-8")
    assert 'id="page4d.predict"' in page
    shown = page.count("&gt;&gt;&gt; ") or page.count(">>> ")
    assert shown >= sum(code.count(">>> ") for code in EXAMPLES.values()), "an example is shown at each of its names"
    assert 'href="reference.html#page4d.predict"' in (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
