"""A chapter says the same wherever its kernel starts: JupyterLab starts it in `notebooks/`, a build in the checkout."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from book_project import ROOT, shipped_chapters

from page4d.book.chapters import run_cells

CHECKOUT = re.compile(r"(?:\./)?(?:book|notebooks|conf|page4d|benchmarks|tests)/")
DRAWS = re.compile(r"torch\.(?:rand|randn|randint|randperm|multinomial|normal)|np\.random\.(?!default_rng)\w+")
CHAPTERS = [chapter.name for chapter in shipped_chapters()]


def texts_of(name: str, parameters: dict[str, Any], folder: Path, tmp_path: Path) -> list[str]:
    """What the chapter's cells print and show as text, run by a kernel whose working folder is `folder`."""
    notebook = jupytext.read(ROOT / "notebooks" / f"{name}.py")
    ran = run_cells(notebook, parameters, tmp_path / "executed.ipynb", folder)
    return [re.sub(r"0x[0-9a-f]+", "0x", text_of(cell)) for cell in ran.cells]


def text_of(cell: Any) -> str:
    """A cell's texts in one: lines that are printed come in one output or in several, as it happens."""
    outputs = [output for output in cell.get("outputs", ()) if output.get("name") != "stderr"]
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_chapter_names_a_folder_of_the_checkout(name: str) -> None:
    cells = jupytext.read(ROOT / "notebooks" / f"{name}.py").cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    texts = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    named = [text for text in texts if isinstance(text, str) and CHECKOUT.match(text)]
    assert named == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_words_of_a_chapter_can_be_read_without_an_extension(name: str) -> None:
    cells = jupytext.read(ROOT / "notebooks" / f"{name}.py").cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "](" in text
    assert "[](" not in text, "a link without words is nothing in JupyterLab"
    assert "{glue" not in text, "a number that JupyterLab cannot fill in"
    places = re.findall(r"\]\((\d\d_[\w.]+)\)", text)
    assert [place for place in places if not (ROOT / "notebooks" / place).is_file()] == []


def unseeded(cell: str) -> list[str]:
    """The calls of a cell that draw numbers which the next run would not draw again."""
    calls = [node for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Call)]
    drawn = []
    for call in calls:
        name = ast.unparse(call.func)
        free = not {keyword.arg for keyword in call.keywords} & {"generator", "random_state"}
        if DRAWS.fullmatch(name) and free and "manual_seed(" not in cell:
            drawn.append(name)
        if name == "np.random.default_rng" and not call.args:
            drawn.append(name)
    return drawn


@pytest.mark.parametrize("name", CHAPTERS)
def test_two_runs_of_a_chapter_draw_the_same_numbers(name: str) -> None:
    cells = jupytext.read(ROOT / "notebooks" / f"{name}.py").cells
    assert [call for cell in cells if cell.cell_type == "code" for call in unseeded(cell.source)] == []


def test_numbers_without_a_seed_are_found() -> None:
    assert unseeded("x = torch.randn(3)") == ["torch.randn"]
    assert unseeded("np.random.default_rng().normal()") == ["np.random.default_rng"]
    assert unseeded("torch.manual_seed(0)\nx = torch.randn(3)") == []
    assert unseeded("x = torch.randn(3, generator=g)") == []


@pytest.mark.slow
def test_stored_results_are_found_from_any_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "empty", tmp_path / "notebooks"]
    folders[0].mkdir()
    shutil.copytree(ROOT / "notebooks", folders[1], ignore=shutil.ignore_patterns(".*"))
    said, again = (texts_of("06_does_the_mask_help", {"clips": 1}, folder, tmp_path) for folder in folders)
    assert said == again
    assert "no exams are stored" not in "".join(said)
    assert list(folders[0].iterdir()) == []


@pytest.mark.slow
def test_the_page_of_reproduction_runs_without_any_data(tmp_path: Path) -> None:
    said = "".join(texts_of("22_reproducing_page4d", {}, tmp_path, tmp_path))
    assert "not run yet" in said
    assert "quoted, unchecked" in said


class Uses(ast.NodeVisitor):
    """What a cell does with names, in order; functions and comprehensions keep theirs to themselves."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        targets = [part.id for part in ast.walk(node.target) if isinstance(part, ast.Name)]
        self.events += [("looped", name) for name in targets]
        for statement in node.body:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_Name(self, node: ast.Name) -> None:
        self.events.append(("read" if isinstance(node.ctx, ast.Load) else "made", node.id))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.events.append(("made", node.name))
        self.apart(node)

    def apart(self, node: ast.AST) -> None:
        names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
        own = {part.id for part in names if isinstance(part.ctx, ast.Store)}
        own |= {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
        self.events += [("read", part.id) for part in names if part.id not in own]

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_Lambda = apart


def taken_over(cells: list[str]) -> list[str]:
    """Names that one cell makes, the loop of another takes for its own, and a later one reads."""
    made: set[str] = set()
    looped: dict[str, int] = {}
    found = []
    for number, cell in enumerate(cells):
        uses = Uses()
        uses.visit(ast.parse(cell))
        for kind, name in uses.events:
            if kind == "made":
                made.add(name)
                looped.pop(name, None)
            elif kind == "looped" and name in made:
                looped[name] = number
            elif kind == "read" and looped.get(name, number) != number:
                found.append(name)
    return found


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_loop_takes_over_what_a_later_cell_reads(name: str) -> None:
    cells = jupytext.read(ROOT / "notebooks" / f"{name}.py").cells
    assert taken_over([cell.source for cell in cells if cell.cell_type == "code"]) == []


def test_a_name_that_a_loop_takes_over_is_found() -> None:
    assert taken_over(["one = first()", "for one in all: print(one)", "print(one)"]) == ["one"]
    assert taken_over(["one = first()", "for one in all: print(one)", "one = 3", "print(one)"]) == []
    assert taken_over(["one = first()", "[one for one in all]", "print(one)"]) == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapters_look_into_predictions_that_could_be_scored(name: str) -> None:
    """A sequence may have found no memory: the first of a benchmark need not be there."""
    cells = jupytext.read(ROOT / "notebooks" / f"{name}.py").cells
    loading = [cell.source for cell in cells if cell.cell_type == "code" and "Prediction.load(" in cell.source]
    assert [source for source in loading if ".sequences()[0]" in source] == []


PLACES = ("Path", "PurePath", "open", "load", "read_csv", "read_json", "imread", "glob", "chdir", "mkdir", "rmtree")


def relative_places(cell: str) -> list[str]:
    """The calls of a cell that mean another file in another working folder."""
    found = []
    for call in (node for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func).rpartition(".")[2]
        first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        bare = name == "Path" and not call.args
        of_folder = isinstance(call.func, ast.Attribute) and name == "glob"  # a pattern within a folder
        named = name in PLACES and isinstance(first, str) and not of_folder and not Path(first).is_absolute()
        if bare or named or name in ("cwd", "getcwd"):
            found.append(ast.unparse(call))
    return found


@pytest.mark.parametrize("name", CHAPTERS)
def test_no_chapter_names_a_place_in_the_working_folder(name: str) -> None:
    cells = jupytext.read(ROOT / "notebooks" / f"{name}.py").cells
    assert [place for cell in cells if cell.cell_type == "code" for place in relative_places(cell.source)] == []


def test_a_place_in_the_working_folder_is_found() -> None:
    for cell in ("open('a.txt')", "Path()", "Path.cwd()", "os.getcwd()", "pd.read_csv('a/b.csv')"):
        assert relative_places(cell) == [cell]
    assert relative_places("open('/a'); Path(folder); target.glob('*.json'); Path(tempfile.mkdtemp())") == []


LISTEN = """\
import os, sys

opened_here = []

def note(event, given):
    # What is asked for within another folder (os.open, dir_fd) is no name in this one.
    asked = event == "open" and given[1] is not None or event == "os.mkdir" and given[2] == -1 or event == "os.chdir"
    if asked and isinstance(given[0], str | os.PathLike) and not os.path.isabs(given[0]):
        opened_here.append(os.fspath(given[0]))

sys.addaudithook(note)
"""
"""A cell that writes down every file that is asked for by a path that begins in the working folder."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CHAPTERS if name[:2] in ("02", "03", "17")])
def test_nothing_is_opened_in_the_working_folder(name: str, tmp_path: Path) -> None:
    """The quickest three; the static check above holds for all."""
    notebook = jupytext.read(ROOT / "notebooks" / f"{name}.py")
    notebook.cells.insert(0, nbformat.v4.new_code_cell(LISTEN))
    notebook.cells.append(nbformat.v4.new_code_cell("with open('here.txt', 'w'): pass\nprint(opened_here)"))
    ran = run_cells(notebook, {}, tmp_path / "executed.ipynb", tmp_path)
    assert text_of(ran.cells[-1]) == "['here.txt']\n"


FOLDERS = {"an empty one": None, "notebooks": ROOT / "notebooks", "the checkout": ROOT}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("where", FOLDERS)
@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_runs_in_any_folder_and_leaves_nothing_there(name: str, where: str, tmp_path: Path) -> None:
    folder = FOLDERS[where] or tmp_path / "empty"
    folder.mkdir(exist_ok=True)
    before = there(folder)
    assert any(texts_of(name, {}, folder, tmp_path))
    assert there(folder) == before


def there(folder: Path) -> list[str]:
    """What lies in a folder, caches and other hidden things apart."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
