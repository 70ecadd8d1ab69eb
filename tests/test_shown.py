"""Chapters in words: what is shown in JupyterLab comes back as it was, and says what the book's pages say."""

from __future__ import annotations

import asyncio
import base64
import copy
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jupytext
import pytest
from book_project import ROOT
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from page4d.book.chapters import Execution
from page4d.book.lab import chapters_manager
from page4d.book.shown import (
    AS_IT_IS,
    CAPTION,
    ID,
    MARK,
    Names,
    figure_of,
    names_of,
    show,
    show_for_good,
    shown,
    store,
    stored,
    works_of,
)
from page4d.book.site import stage
from page4d.book.weight import offer_downloads

WORKS = works_of((ROOT / "book" / "references.bib").read_text())
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
PIECES = (
    *("{cite}`dao2022flashattention`", "{cite:t}`umeyama1991`", "{cite}`oquab2024dinov2,darcet2024registers`"),
    *("{cite}`nobody2000`", "{numref}`fig-memory`", "{numref}`fig-none`", "{glue:text}`total`", "{cite}`", "{doc}`a`"),
    *(
        "`",
        "``",
        "```",
        "```{warning}\n",
        "~~~",
        "\n",
        "\n\n",
        "$",
        "$$",
        "\\",
        "> ",
        "> **Warning**\n>\n",
        " ",
        "words",
    ),
    *("[", "]", "](", ")", "(", "; ", "[; ", "#cite=", "&cite:t=", "#cell-id=fig-memory)", "umeyama1991", AS_IT_IS),
    *("[notation](../notation.md)", "[notation](notation.md)", "](../", "[x](12_camera_pose.ipynb)", "| a | b |"),
    "[Fig. 4.1](26_speed_and_memory.ipynb#cell-id=fig-memory)",
)


def names(chapter: str = "26_speed_and_memory") -> Names:
    return names_of(chapter, notebook_of(chapter)["cells"], ROOT / "book", ROOT / "notebooks")


def notebook_of(chapter: str) -> Any:
    return jupytext.read(ROOT / "notebooks" / f"{chapter}.ipynb")


NAMES = names()
# Numbers change with the book's pages; the slow test below holds them against a built book.
CARDS, FLOW = (NAMES.figures[name].number for name in ("tab-cards", "fig-data-flow"))


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=12).map("".join))
def test_every_text_comes_back_as_it_was(text: str) -> None:
    assert stored(shown(text, NAMES)) == text


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("by {cite}`su2024roformer`.", "by [(Su et al., 2024)](https://arxiv.org/abs/2104.09864#cite=su2024roformer)."),
        ("{cite:t}`su2024roformer`", "[Su et al. (2024)](https://arxiv.org/abs/2104.09864#cite:t=su2024roformer)"),
        ("{cite:t}`lowe2004sift`", "[Lowe (2004)](references.bib#line=66&cite:t=lowe2004sift)"),
        ("{numref}`tab-cards`", f"[{CARDS}](26_speed_and_memory.ipynb#cell-id=tab-cards)"),
        ("{numref}`fig-data-flow`", f"[{FLOW}](22_reproducing_page4d.ipynb#cell-id=fig-data-flow)"),
        ("[notation](../notation.md)", "[notation](notation.md)"),
        ("```{warning}\nOne\n\ntwo.\n```", "> **Warning**\n>\n> One\n> \n> two."),
        ("`{cite}`umeyama1991`` {cite}`nobody`", "`{cite}`umeyama1991`` {cite}`nobody`"),
        ("``{cite}`umeyama1991` ``", "``{cite}`umeyama1991` ``"),
        ("```\n{cite}`umeyama1991`\n```", "```\n{cite}`umeyama1991`\n```"),
    ],
)  # fmt: skip
def test_roles_become_words_and_code_stays(source: str, said: str) -> None:
    assert shown(source, NAMES) == said
    assert stored(said) == source


def test_several_works_in_one_role_are_a_link_each() -> None:
    said = shown("{cite}`oquab2024dinov2,darcet2024registers`", NAMES)
    assert re.sub(r"\([^()]*=(\w+)\)", r"<\1>", said) == (
        "[(Oquab et al., 2024]<oquab2024dinov2>[; Darcet et al., 2024)]<darcet2024registers>"
    )
    apart = "{cite}`umeyama1991`{cite}`umeyama1991`"
    assert stored(shown(apart, NAMES)) == apart


def test_an_edited_link_is_its_role_still() -> None:
    said = shown("as {cite}`dao2022flashattention` did", NAMES)
    edited = said.replace("(Dao et al., 2022)", "theirs").replace("did", "does")
    assert stored(edited) == "as {cite}`dao2022flashattention` does"
    assert stored(said.replace("#cite=dao2022flashattention", "")) == said.replace("#cite=dao2022flashattention", "")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_role_is_left_in_what_is_shown(chapter: str) -> None:
    notebook = notebook_of(chapter)
    before = copy.deepcopy(notebook)
    show(notebook, names(chapter))
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.findall(r"\{[a-z:]+\}`|^```\{.*|\]\(\.\./.*?\)", text, re.MULTILINE) == []
    assert AS_IT_IS not in text
    captions = [figure["caption"] for figure in map(figure_of, before.cells) if figure]
    assert [cell.metadata[CAPTION]["words"] for cell in notebook.cells if CAPTION in cell.metadata] == captions
    store(notebook)
    assert notebook == before


def test_all_chapters_know_the_figures_of_all() -> None:
    assert all(names(chapter) == NAMES for chapter in CHAPTERS)


def test_a_caption_that_would_not_come_back_is_saved_as_it_was() -> None:
    notebook = notebook_of("26_speed_and_memory")
    (first, *_) = [figure for figure in map(figure_of, notebook.cells) if figure]
    first["caption"] = "[a](b.md#cite=umeyama1991)"
    before = copy.deepcopy(notebook)
    show(notebook, NAMES)
    store(notebook)
    assert notebook == before


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The book's pages and two chapters, as a checkout has them."""
    shutil.copytree(ROOT / "book", tmp_path / "book")
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    for chapter in ("13_point_maps", "26_speed_and_memory"):
        for suffix in (".py", ".ipynb"):
            shutil.copy2(ROOT / "notebooks" / f"{chapter}{suffix}", tmp_path / "notebooks")
    return tmp_path


def manager_of(project: Path) -> Any:
    return chapters_manager()(root_dir=str(project / "notebooks"))


def opened(manager: Any, name: str) -> Any:
    """What a browser has of a notebook that it opened."""
    return json.loads(json.dumps(asyncio.run(manager.get(name)), default=str))


def save(manager: Any, model: Any, name: str) -> None:
    asyncio.run(manager.save({"type": "notebook", "format": "json", "content": copy.deepcopy(model["content"])}, name))


def contents(project: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((project / "notebooks").iterdir()) if path.is_file()}


def caption_of(model: Any, name: str) -> Any:
    (cell,) = [c for c in model["content"]["cells"] if c["metadata"].get(CAPTION, {}).get("name") == name]
    return cell


def test_chapters_are_saved_as_they_were(tmp_path: Path) -> None:
    for folder in ("book", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    before, manager = contents(tmp_path), manager_of(tmp_path)
    for chapter in CHAPTERS:
        model = opened(manager, f"{chapter}.ipynb")
        assert model["content"]["metadata"][MARK]
        save(manager, model, f"{chapter}.ipynb")
    assert contents(tmp_path) == before


def test_an_edit_is_kept_and_roles_stay_roles(project: Path) -> None:
    before, manager = contents(project), manager_of(project)
    model = opened(manager, "26_speed_and_memory.ipynb")
    (cell,) = [c for c in model["content"]["cells"] if c["source"].startswith("A practical reading")]
    assert "[(Shen et al., 2025)](" in cell["source"]
    cell["source"] = cell["source"].replace("A practical reading", "In practice")
    save(manager, model, "26_speed_and_memory.ipynb")
    after = contents(project)
    for name in ("26_speed_and_memory.py", "26_speed_and_memory.ipynb"):
        assert after[name] == before[name].replace("A practical reading", "In practice")


def test_captions_that_were_deleted_moved_or_copied_change_nothing(project: Path) -> None:
    before, manager = contents(project), manager_of(project)
    model = opened(manager, "26_speed_and_memory.ipynb")
    cells = model["content"]["cells"]
    cells.remove(caption_of(model, "fig-memory"))
    moved = caption_of(model, "tab-films")
    cells.remove(moved)
    cells[:0] = [moved, copy.deepcopy(moved)]
    save(manager, model, "26_speed_and_memory.ipynb")
    assert contents(project) == before


def test_an_edited_caption_goes_to_its_figure(project: Path) -> None:
    before, manager = contents(project), manager_of(project)
    model = opened(manager, "26_speed_and_memory.ipynb")
    cell = caption_of(model, "tab-cards")
    words = "The most frames of one pass, by the card's memory."
    assert cell["source"] == f"**{CARDS}** {words}"
    cell["source"] = f"**{CARDS}** The most\nframes, after {shown('{cite}`umeyama1991`', NAMES)}.\n\nAnd a paragraph."
    save(manager, model, "26_speed_and_memory.ipynb")
    script = contents(project)["26_speed_and_memory.py"]
    edited = before["26_speed_and_memory.py"].replace(words, "The most frames, after {cite}`umeyama1991`.")
    assert [line for line in script.splitlines() if line not in edited.splitlines()] == ["# And a paragraph."]
    again = caption_of(opened(manager, "26_speed_and_memory.ipynb"), "tab-cards")
    assert again["source"].startswith(f"**{CARDS}** The most frames, after [(Umeyama, 1991)](")


def test_an_edited_caption_without_its_figure_or_its_number_stays_as_text(project: Path) -> None:
    manager = manager_of(project)
    model = opened(manager, "26_speed_and_memory.ipynb")
    cells = model["content"]["cells"]
    cells.remove(next(cell for cell in cells if cell["id"] == "tab-films"))
    caption_of(model, "tab-films")["source"] += " More."
    caption_of(model, "fig-memory")["source"] = "My own words."
    save(manager, model, "26_speed_and_memory.ipynb")
    script = contents(project)["26_speed_and_memory.py"]
    assert "and what they store. More.\n" in script
    assert "# %% [markdown]\n# My own words.\n" in script
    assert "Memory of one pass against its frames" in script


def test_a_copy_of_a_figures_cell_has_an_id_of_its_own(project: Path) -> None:
    manager = manager_of(project)
    model = opened(manager, "26_speed_and_memory.ipynb")
    (cell,) = [c for c in model["content"]["cells"] if c["id"] == "fig-memory"]
    model["content"]["cells"].append(copy.deepcopy(cell) | {"id": "another"})
    before = cell["metadata"][ID]
    save(manager, model, "26_speed_and_memory.ipynb")
    ids = [cell["id"] for cell in json.loads(contents(project)["26_speed_and_memory.ipynb"])["cells"]]
    assert (ids.count(before), ids.count("another"), ids.count("fig-memory")) == (1, 1, 0)


def test_a_copy_and_another_name_have_the_source(project: Path) -> None:
    before, manager = contents(project), manager_of(project)
    model = opened(manager, "26_speed_and_memory.ipynb")
    save(manager, model, "mine.ipynb")
    made = asyncio.run(manager.copy("26_speed_and_memory.ipynb"))
    after = contents(project)
    assert after["mine.ipynb"] == after[made["name"]] == before["26_speed_and_memory.ipynb"]
    asyncio.run(manager.rename_file("26_speed_and_memory.ipynb", "30_other.ipynb"))
    save(manager, model, "30_other.ipynb")
    assert contents(project)["30_other.py"] == before["26_speed_and_memory.py"]


def test_checkpoints_hold_the_source(project: Path) -> None:
    before, manager = contents(project), manager_of(project)
    checkpoint = asyncio.run(manager.create_checkpoint("26_speed_and_memory.ipynb"))
    model = opened(manager, "26_speed_and_memory.ipynb")
    model["content"]["cells"][0]["source"] += " More."
    save(manager, model, "26_speed_and_memory.ipynb")
    asyncio.run(manager.restore_checkpoint(checkpoint["id"], "26_speed_and_memory.ipynb"))
    assert contents(project)["26_speed_and_memory.ipynb"] == before["26_speed_and_memory.ipynb"]


def test_other_notebooks_and_files_are_left_alone(project: Path) -> None:
    manager = manager_of(project)
    source = {
        "cell_type": "markdown",
        "id": "a",
        "metadata": {},
        "source": "{cite}`a` [b](x.md) [c](#cite=umeyama1991)",
    }
    mine = {"cells": [source], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (project / "notebooks" / "mine.ipynb").write_text(json.dumps(mine))
    model = opened(manager, "mine.ipynb")
    assert model["content"] == mine
    save(manager, model, "mine.ipynb")
    (saved,) = json.loads((project / "notebooks" / "mine.ipynb").read_text())["cells"]
    assert "".join(saved["source"]) == source["source"]
    script = asyncio.run(manager.get("26_speed_and_memory.py", type="file"))
    assert script["content"] == (project / "notebooks" / "26_speed_and_memory.py").read_text()


def test_pages_of_the_book_open_for_reading(project: Path) -> None:
    manager = manager_of(project)
    model = asyncio.run(manager.get("differences.md", type="file"))
    assert (model["path"], model["writable"], model["mimetype"]) == ("differences.md", False, "text/markdown")
    assert "](14_what_the_protocol_is_worth.ipynb)" in model["content"]
    assert "](notebooks/" not in model["content"]
    assert ")=\n" not in asyncio.run(manager.get("notation.md"))["content"]
    assert asyncio.run(manager.get("references.bib", content=False))["content"] is None
    assert "differences.md" not in [entry["name"] for entry in asyncio.run(manager.get(""))["content"]]
    (project / "notebooks" / "notation.md").write_text("Mine.")
    assert asyncio.run(manager.get("notation.md", type="file"))["content"] == "Mine."


def test_a_notebook_for_good_needs_no_file_of_the_book() -> None:
    notebook = notebook_of("26_speed_and_memory")
    show_for_good(notebook, NAMES)
    text = json.dumps(notebook)
    assert "(Umeyama, 1991) (notation for" in text
    assert f"**{CARDS}** The most frames" in text
    for trace in (MARK, CAPTION, ID, ".bib", ".md"):
        assert trace not in text


def test_the_book_offers_its_chapters_in_words(tmp_path: Path) -> None:
    offered = tmp_path / "_sources" / "notebooks"
    offered.mkdir(parents=True)
    (offered / "13_point_maps.ipynb").write_text("{}")
    offer_downloads(tmp_path, ROOT / "notebooks", ROOT / "book")
    notebook = jupytext.read(offered / "13_point_maps.ipynb")
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "> **Warning**\n>\n> PAGE-4D published no script" in text
    assert re.search(r"\*\*Fig\. \d+\.1\*\* ", text)
    assert (offered / "13_point_maps.py").read_text() == (ROOT / "notebooks" / "13_point_maps.py").read_text()


@pytest.mark.slow
def test_numbers_and_names_are_those_of_the_built_book(tmp_path: Path) -> None:
    """The whole book with a small picture for each figure, as executing all chapters would take too long."""
    executed = tmp_path / "executed"
    executed.mkdir()
    executions = []
    for chapter in CHAPTERS:
        notebook = notebook_of(chapter)
        for place, cell in enumerate(notebook.cells):
            if figure_of(cell):
                cell.outputs = [picture(place)]
        jupytext.write(notebook, executed / f"{chapter}.ipynb")
        executions.append(Execution(chapter, chapter, 1.0, "2026-01-02T03:04:05+00:00", {}, "key"))
    stage(ROOT, tmp_path / "source", executed, executions)
    command = [str(Path(sys.executable).parent / "jupyter-book"), "build", str(tmp_path / "source"), "--quiet"]
    subprocess.run([*command, "--path-output", str(tmp_path)], check=True, capture_output=True)
    for chapter in CHAPTERS:
        page = (tmp_path / "_build" / "html" / "notebooks" / f"{chapter}.html").read_text()
        numbers = re.findall(r'href="#((?:fig|tab)-[\w-]+)"><span class="std std-numref">([^<]*)<', page)
        assert set(numbers) <= {(name, figure.number) for name, figure in names(chapter).figures.items()}
        captions = re.findall(r'class="caption-number">((?:Fig\.|Table) [\d.]+) <', page)
        of_page = [figure.number for figure in names(chapter).figures.values() if figure.chapter == chapter]
        assert sorted(captions) == sorted(of_page)
        plain = re.sub(r"<[^>]*>", "", page)
        for role, key in re.findall(r"\{(cite|cite:t)\}`(\w+)`", (ROOT / "notebooks" / f"{chapter}.py").read_text()):
            work = WORKS[key]
            said = f"[{work.people}, {work.year}]" if role == "cite" else f"{work.people} [{work.year}]"
            assert said in plain


def picture(shade: int) -> Any:
    drawn = io.BytesIO()
    Image.new("L", (8, 8), shade).save(drawn, "png")
    data = {"image/png": base64.b64encode(drawn.getvalue()).decode()}
    return jupytext.reads(json.dumps(one_output(data)), "ipynb").cells[0].outputs[0]


def one_output(data: dict[str, str]) -> dict[str, Any]:
    output = {"output_type": "display_data", "data": data, "metadata": {}}
    code = {"cell_type": "code", "source": "", "metadata": {}, "execution_count": None, "outputs": [output], "id": "a"}
    return {"cells": [code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
