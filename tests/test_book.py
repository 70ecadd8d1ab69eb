"""`page4d book`: chapters found, parameters checked, errors shown, pages staged. Built pages: test_book_browser.py."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jupytext
import numpy as np
import pandas as pd
import pytest
import yaml
from book_project import CHAPTER, ROOT, shipped_chapters, write_project
from docutils import nodes
from docutils.utils import new_document
from numpy.typing import ArrayLike, NDArray
from papermill.exceptions import PapermillExecutionError
from sphinx.util.inspect import signature, stringify_signature

from page4d.book.chapters import (
    ChapterError,
    Execution,
    RunPlan,
    assign_parameters,
    execute,
    find_chapters,
    places_named,
    plan_run,
    read_chapter,
    reusable,
    run_cells,
    toc_entries,
)
from page4d.book.parameters import check_cells, check_parameters, in_one_line
from page4d.book.reference import plain_signature
from page4d.book.site import external_references, only_chapters, status_page
from page4d.book.sphinx import figure_html, keep_together, labelled, mended_table, width_classes
from page4d.book.weight import icons_of, keep_icons
from page4d.cli import main
from page4d.schema import Notice, UserError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path)


def test_a_chapters_parameters_are_read_without_running_it(project: Path) -> None:
    chapter = read_chapter(project / "notebooks" / "01_small.py")
    assert chapter.parameters == {"count": 40, "name": "0005", "scale": 1.0, "device": None}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (' tags=["parameters"]', "", "has 0 cells tagged parameters"),
        ("# %%\nfrom", '# %% tags=["parameters"]\nfrom', "has 2 cells tagged parameters"),
        ("count = 40", "count = len('x')", "not `name = literal`"),
        ("count = 40", "import os", "not `name = literal`"),
        ("count = 40", "a = b = 40", "not `name = literal`"),
    ],
)
def test_a_bad_parameters_cell_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CHAPTER
    project = write_project(tmp_path, CHAPTER.replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(message)):
        read_chapter(project / "notebooks" / "01_small.py")


def test_values_take_the_type_of_their_default(project: Path) -> None:
    chapters = find_chapters(project)
    given = {"count": "7", "name": "0012", "scale": "2", "device": "cuda"}
    assert assign_parameters(chapters, given) == {
        "01_small": {"count": 7, "name": "0012", "scale": 2.0, "device": "cuda"}
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cuont": "7"}, "no chapter has a parameter 'cuont'; did you mean 'count'?"),
        ({"count": "many"}, "parameter count takes a value of type int, like 40; got 'many'"),
        ({"count": "7.5"}, "takes a value of type int"),
    ],
)
def test_wrong_parameters_are_refused(project: Path, given: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        assign_parameters(find_chapters(project), given)


def test_each_chapter_gets_the_parameters_that_it_knows(project: Path) -> None:
    (first,) = find_chapters(project)
    second = replace(first, name="02_other", parameters={"weights": "tiny"})
    assert assign_parameters([first, second], {"weights": "nomask"}) == {
        "01_small": {},
        "02_other": {"weights": "nomask"},
    }


OWN = "weights = 'tiny'\nframes = 4"


@pytest.mark.parametrize("given", ["weights = 'mask'", "frames = 8\nweights = 'mask'"])
def test_a_chapter_takes_the_parameters_that_it_has(given: str) -> None:
    check_cells(["", OWN, f"# Parameters\n{given}", "page4d.check_parameters()"])
    check_cells(["", OWN, "page4d.check_parameters()", "anything = 1"])
    check_cells([])
    check_parameters()  # no notebook, nothing to check


def test_a_chapter_refuses_a_mistyped_parameter() -> None:
    with pytest.raises(UserError, match=r"no parameter 'weigths'; did you mean 'weights'\? It has: weights, frames"):
        check_cells(["", OWN, "# Parameters\nweigths = 'mask'", "page4d.check_parameters()"])


def test_a_warning_in_a_chapter_names_no_place() -> None:
    told = warnings.WarningMessage("mode 'crop' cuts 26 %", Notice, __file__, 7, line="told.tell()")
    shown = in_one_line(told.message, told.category, told.filename, told.lineno, line=told.line)
    assert shown == "Notice: mode 'crop' cuts 26 %\n"


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ({"name": "stderr", "text": f"{ROOT}/page4d/io/images.py:112: Notice: cut\n"}, 1),
        ({"name": "stdout", "text": "fine\n/x/lib/python3.11/site-packages/tqdm/auto.py:21: TqdmWarning: no\n"}, 1),
        ({"data": {"text/html": "<p>cell of /tmp/ipykernel_20544/3272239062.py</p>"}}, 1),
        ({"data": {"text/plain": "page4d/io/images.py", "image/png": f"{ROOT}/page4d/"}}, 0),
    ],
)
def test_what_a_chapter_shows_is_searched_for_places_on_this_machine(output: dict[str, Any], found: int) -> None:
    assert len(places_named([{"source": "no outputs"}, {"outputs": [output]}])) == found


def test_a_chapter_that_names_a_place_on_this_machine_does_not_become_a_page(tmp_path: Path) -> None:
    naming = CHAPTER.replace("from myst_nb", "import page4d\n\nprint(page4d.__file__)\nfrom myst_nb", 1)
    project = write_project(tmp_path / "project", naming)
    (chapter,) = find_chapters(project)
    with pytest.raises(ChapterError, match=r"outputs name places on this machine(.|\n)*page4d/__init__\.py"):
        execute(RunPlan(chapter, {}, {}, "key"), tmp_path)


def test_every_chapter_checks_its_parameters_before_anything_else() -> None:
    for chapter in shipped_chapters():
        code = [cell for cell in jupytext.read(chapter.path).cells if cell.cell_type == "code"]
        assert "parameters" in code[0].metadata.get("tags", []), chapter.name
        assert code[1].source == "import page4d\n\npage4d.check_parameters()", chapter.name


@pytest.mark.slow
def test_papermill_alone_cannot_run_a_chapter_with_a_mistyped_parameter(tmp_path: Path) -> None:
    source = CHAPTER.replace("# %%\nfrom", "# %%\nimport page4d\n\npage4d.check_parameters()\n\n# %%\nfrom", 1)
    project = write_project(tmp_path, source)
    notebook = jupytext.read(project / "notebooks" / "01_small.py")
    with pytest.raises(PapermillExecutionError, match="did you mean 'count'"):
        run_cells(notebook, {"cuont": 3}, tmp_path / "out.ipynb")


@pytest.mark.parametrize("name", ["01", "small", "01_small", "01_small.ipynb"])
def test_a_chapter_is_found_by_number_or_name(project: Path, name: str) -> None:
    assert [chapter.name for chapter in find_chapters(project, [name])] == ["01_small"]


def test_unknown_chapters_and_strange_folders_are_refused(project: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no chapter '02'"):
        find_chapters(project, ["02"])
    with pytest.raises(UserError, match=re.escape("no book/_toc.yml")):
        find_chapters(tmp_path / "nowhere")
    (project / "notebooks" / "02_lost.py").write_text(CHAPTER)
    with pytest.raises(UserError, match="02_lost"):
        find_chapters(project)


def test_the_real_book_lists_every_chapter_once_in_parts() -> None:
    names = [chapter.name for chapter in shipped_chapters()]
    numbers = [int(name[:2]) for name in names]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    parts = [part["caption"] for part in toc["parts"]]
    assert parts == ["Use", "Understand", "The world", "Train", "Measure", "Reproduce", "Reference"]
    assert names[:2] == ["01_quickstart", "17_your_own_video"]


def test_every_chapter_opens_as_the_house_style_asks() -> None:
    for chapter in shipped_chapters():
        # A chapter whose first sentence is computed has the rest of its opening after that sentence.
        texts = [cell.source for cell in jupytext.read(chapter.path).cells if cell.cell_type == "markdown"]
        opening = "\n".join(texts[:2])
        for words in ("**You will learn**", "**Needs**", "**The small run**"):
            assert words in opening, f"{chapter.name}: the opening cell lacks {words}"


def test_a_failing_chapter_shows_its_cell_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = CHAPTER.replace("import plotly.graph_objects as go", "wrong = 1 / (count - 40)")
    project = write_project(tmp_path / "project", failing)
    monkeypatch.chdir(tmp_path)
    assert main(["book", "--root", str(project), "--out", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr().err
    assert "    wrong = 1 / (count - 40)\n" in shown
    assert "ZeroDivisionError: division by zero" in shown
    assert "\x1b" not in shown.split("failed in the cell")[1]
    executed = tmp_path / "out" / "executed"
    assert [path.name for path in executed.iterdir()] == ["01_small.failed.ipynb"]
    assert not (tmp_path / "out" / "html").exists()


def test_a_wrong_parameter_exits_with_2_before_anything_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = project / "out"
    assert main(["book", "--root", str(project), "--out", str(out), "-p", "cuont", "3"]) == 2
    assert "did you mean 'count'?" in capsys.readouterr().err
    assert not out.exists()


def record(chapter: str, key: str) -> Execution:
    return Execution(chapter, "A small chapter", 3.14, "2026-01-02T03:04:05+00:00", {"count": 40}, key)


def test_an_execution_is_reused_only_while_nothing_changed(project: Path) -> None:
    (chapter,) = find_chapters(project)
    plan = plan_run(chapter, {}, project)
    folder = project / "executed"
    folder.mkdir()
    assert reusable(plan, folder) is None
    (folder / "01_small.ipynb").write_text("{}")
    (folder / "01_small.json").write_text(json.dumps(vars(record("01_small", plan.key))))
    assert reusable(plan, folder) == record("01_small", plan.key)
    assert plan_run(chapter, {"count": 3}, project).key != plan.key
    chapter.path.write_text(CHAPTER + "\n")
    changed = plan_run(chapter, {}, project)
    assert changed.key != plan.key
    assert reusable(changed, folder) is None


def test_the_contents_keep_only_what_was_executed() -> None:
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    files = [entry["file"] for entry in toc_entries(only_chapters(toc, ["01_quickstart"]))]
    assert [name for name in files if name.startswith("notebooks/")] == ["notebooks/01_quickstart"]
    assert "status" in files
    none = only_chapters(toc, [])
    assert all(part["chapters"] for part in none["parts"])


def test_the_status_page_is_written_from_the_record() -> None:
    data: dict[str, Any] = {
        "executions": [vars(record("01_small", "k")), {**vars(record("02_big", "k")), "seconds": 10.0}],
        "versions": {"torch": "9.9"},
        "machine": {"cores": "2"},
    }
    page = status_page(data)
    assert "| [A small chapter](notebooks/01_small) | ci | 3.1 | 2026-01-02 03:04 | `count=40` | made up |" in page
    assert "2 chapters in 13 s." in page
    assert "| torch | 9.9 |" in page
    assert "| cores | 2 |" in page


def test_icons_that_nobody_asks_for_are_left_out() -> None:
    sun, old = 'sun:[512,512,[9728],"f185","M361z"]', '"turn-up":[384,512,["level-up-alt"],"f3bf",["M1z","M2z"]]'
    script = f'var p={{{sun},monero:[496,512,[],"f3d0","M352z"],{old}}};draw(p)'
    assert keep_icons(script, {"sun"}) == f"var p={{{sun},}};draw(p)"
    assert keep_icons(script, {"level-up-alt"}) == f"var p={{{old}}};draw(p)"
    assert {"download", "solid", "moon"} <= icons_of(['<i class="fa-solid fa-download">'])


def test_a_figure_is_called_what_its_caption_says() -> None:
    named = figure_html({"data": [], "layout": {"title": {"text": "own"}}})
    assert labelled(named, "words") == named
    html = labelled(figure_html({"data": []}), 'a "caption"')
    assert 'aria-label="a &quot;caption&quot;"' in html


def test_a_table_marks_phrases_and_names_and_has_no_empty_head() -> None:
    phrase, held = "measured 2026-11-27 on cpu, n = 8/8", "measured 2026-11-27 on cpu, n&nbsp;=&nbsp;8/8"
    table = f"<tr><th></th><th>status</th></tr><tr><td>0.163</td><td>{phrase}</td></tr>"
    mended = f'<tr><td></td><th>status</th></tr><tr><td>0.163</td><td class="page4d-phrase">{held}</td></tr>'
    assert mended_table(table) == mended
    assert mended_table("<td>page4d-tiny-mask</td><td>-0.5</td><td>one - two</td>") == (
        '<td class="page4d-whole">page4d-tiny-mask</td><td>-0.5</td><td>one - two</td>'
    )


def test_a_narrow_screen_gives_wide_pictures_the_room_that_their_words_need() -> None:
    assert [width_classes(width) for width in (576, 921, 1296)] == [
        [],
        ["page4d-wide"],
        ["page4d-wide", "page4d-wider"],
    ]


def test_pandas_count_of_rows_is_left_out_and_names_of_rows_are_not() -> None:
    told = mended_table(pd.DataFrame({"model": ["a", "b"], "score": [1, 2]}).to_html())
    assert re.findall(r"<th[^>]*>([^<]*)</th>", told) == ["model", "score"]
    assert re.findall(r"<td>([^<]*)</td>", told) == ["a", "1", "b", "2"]
    frames = pd.DataFrame({"x": [1, 2]}).rename_axis("frame").to_html()
    assert mended_table("<tr><th>middle pairs + mask in training</th></tr>").startswith(
        '<tr><th class="page4d-phrase">'
    )
    assert "0 to 1&nbsp;%" in mended_table("<tr><td>interval 0 to 1 %</td></tr>")
    for kept in (pd.DataFrame({"x": [1, 2]}, index=["a", "b"]).to_html(), frames):
        assert mended_table(kept).count("<th") == kept.replace("<th></th>", "").count("<th")


def test_a_line_begins_with_no_comma_and_no_per_cent_sign_and_no_short_name_is_broken() -> None:
    doctree = new_document("page")
    m, n = nodes.math("", "m"), nodes.math("", "n")
    words = [nodes.Text(words) for words in ("Half, 50 %, of ", "), and all of ", " is 1 %.")]
    doctree += nodes.paragraph("", "", words[0], m, words[1], n, words[2])
    doctree += nodes.literal_block("", "5 % 2")
    short, long = nodes.literal("", "page4d view --scale-from"), nodes.literal("", "a" * 25)
    doctree += nodes.paragraph("", "", short, long)
    anchor = nodes.raw("", '<span id="e15" class="anchor"></span>', format="html")
    cells = [nodes.entry("", nodes.paragraph("", "a" * 25)), nodes.entry("", nodes.paragraph("", "E15", anchor))]
    doctree += cells
    keep_together(None, doctree)
    assert doctree.astext().startswith(
        "Half, 50\u00a0%, of m), and all of n is 1\u00a0%.\n\n5 % 2\n\n" + short.astext()
    )
    assert [bool(name["classes"]) for name in (short, long)] == [True, False]
    assert [bool(cell["classes"]) for cell in cells] == [True, False], "an anchor is no words"
    (held,) = doctree.findall(nodes.inline)
    assert held.astext() == "m),"


def test_a_signature_calls_arrays_as_the_code_does() -> None:
    def draw(
        depth: NDArray[np.float32], steps: ArrayLike, gt: NDArray[np.floating]
    ) -> dict[str, NDArray[np.bool_] | None]: ...

    @dataclass
    class Given:
        paths: list[Path] = field(default_factory=list)

    told = plain_signature(stringify_signature(signature(draw), unqualified_typehints=True))
    assert told.startswith("(depth: NDArray[~numpy.float32], steps: ArrayLike, gt: NDArray[~numpy.floating")
    assert told.endswith(") -> dict[str, NDArray[~numpy.bool] | None]")
    assert plain_signature(str(signature(Given))).startswith("(paths: ")
    assert "<" not in plain_signature(stringify_signature(signature(Given)))


def test_a_figure_cannot_end_its_own_element() -> None:
    title = 'a "title" </script><b>'
    figure = {"data": [{"x": [1]}], "layout": {"height": 300, "title": {"text": title}}, "config": {}, "frames": [{}]}
    html = figure_html(figure)
    assert html.count("</script>") == 1
    content = re.search(r'<script type="application/json">(.*)</script>', html)
    assert content is not None
    assert json.loads(content[1]) == {"data": [{"x": [1]}], "layout": figure["layout"], "frames": [{}]}
    assert "height:300px" in html
    assert "&quot;title&quot;" in html


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://x.example/a.js"></script>'),
        ("a.html", '<script async src="//x.example/a.js"></script>'),
        ("a.html", '<link rel="stylesheet" href="http://x.example/a.css">'),
        ("a.html", '<link rel="preconnect" href="https://fonts.x.example">'),
        ("a.html", '<img src="https://x.example/a.png">'),
        ("a.css", "@import 'https://x.example/font.css';"),
        ("a.css", "@font-face { src: url(https://x.example/a.woff2) }"),
        ("a.css", 'body { background: url("//x.example/a.png") }'),
    ],
)
def test_what_would_need_a_network_is_found(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (line,) = external_references(tmp_path)
    assert line.startswith(f"{name} loads ")
    assert "x.example" in line


def test_links_to_click_and_local_files_are_fine(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="https://x.example">more</a><script src="_static/a.js"></script><img src="data:image/png;base64,">'
        '<link rel="canonical" href="https://x.example">'
    )
    (tmp_path / "a.css").write_text("/* https://x.example */ body { background: url(a.png) }")
    assert list(external_references(tmp_path)) == []


def test_no_label_is_given_twice() -> None:
    figures, targets = re.compile(r'"name": "([^"]+)"'), re.compile(r"^(?:# )?\(([\w-]+)\)=$", re.MULTILINE)
    texts = [
        path.read_text() for folder in ("notebooks", "book") for path in sorted((ROOT / folder).glob("*.[mp][dy]"))
    ]
    given = Counter(label for text in texts for label in figures.findall(text) + targets.findall(text))
    assert len(given) > 20
    assert [label for label, times in given.items() if times > 1] == []
