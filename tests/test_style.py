"""The house style, held by tools: ruff, mypy, import layers, notebook pairs, sizes, no machine's paths."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import jupytext
import pytest
from style_rules import dense_statements, strange_labels, text_without_encoding

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
MAX_LINES, MAX_CELL_LINES, MAX_BYTES = 400, 20, 1 << 20
# Larger by nature, each with its own limit: trained weights and the reference arrays.
LARGE = {"page4d/model/builtin/": 12_000_000, "tests/golden/": 2 << 20}

# Per room, how many dense statements and strange labels are still there; these go down to nothing.
DENSE: dict[str, int] = {}
STRANGE: dict[str, int] = {}


def run(*command: str) -> None:
    result = subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, text=True, capture_output=True, check=True)
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_ruff_finds_nothing() -> None:
    run("ruff", "check", "--quiet")


def test_ruff_would_format_nothing() -> None:
    run("ruff", "format", "--check", "--quiet")


@pytest.mark.slow  # a minute and more where nothing is cached; the hook of pre-commit asks the same of each commit
def test_types_are_strict() -> None:
    run("mypy")


def test_imports_point_downwards() -> None:
    run("lint-imports", "--no-cache")


def test_benchmarks_import_what_exists() -> None:
    """They run by hand only, so that nothing else would notice."""
    missing = []
    for path in tracked("benchmarks/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("page4d"):
                missing += [f"{path.name}: {name}" for name in names_that_are_not_there(node)]
    assert missing == []


def names_that_are_not_there(node: ast.ImportFrom) -> list[str]:
    """Names of an import that its module does not have, submodules included."""
    module = importlib.import_module(str(node.module))
    folder = f"{node.module}."
    absent = [a.name for a in node.names if not hasattr(module, a.name)]
    return [folder + name for name in absent if importlib.util.find_spec(folder + name) is None]


def test_files_are_short() -> None:
    files = tracked("page4d/*.py", "tests/*.py", "benchmarks/*.py")
    assert files
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: n for name, n in lengths.items() if n >= MAX_LINES} == {}


def complaints(rule: Callable[[str], Iterable[str]], allowed: dict[str, int]) -> dict[str, list[str]]:
    """What a rule finds in the rooms of the package that hold more of it than is allowed."""
    found: dict[str, list[str]] = {}
    for path in tracked("page4d/*.py"):
        room = path.relative_to(ROOT).parts[1].removesuffix(".py")
        found.setdefault(room, []).extend(f"{path.relative_to(ROOT)}: {text}" for text in rule(path.read_text()))
    return {room: texts for room, texts in found.items() if len(texts) > allowed.get(room, 0)}


def test_lines_breathe() -> None:
    assert complaints(dense_statements, DENSE) == {}


def test_docstrings_use_the_fixed_labels() -> None:
    assert complaints(strange_labels, STRANGE) == {}


def test_text_files_are_utf_8_whatever_the_locale() -> None:
    assert complaints(text_without_encoding, {}) == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("p.read_text()", True),
        ("p.write_text('x')", True),
        ("p.open('w')", True),
        ("p.open()", True),
        ("open(p)", True),
        ("os.fdopen(d, 'a')", True),
        ("p.read_text(encoding='utf-8')", False),
        ("p.open('rb')", False),
        ("open(p, 'wb')", False),
        ("Image.open(p)", False),
        ("open(p, mode, encoding=e)", False),
    ],
)
def test_text_in_the_encoding_of_the_locale_is_found(source: str, found: bool) -> None:
    assert bool(list(text_without_encoding(source))) is found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = [a for a in b if any(c for c in a)]", ["line 1: 2 comprehensions in one statement"]),
        ("if x:\n    y = " + " + ".join("abcdefghijklmnop"), ["line 2: 65 syntax nodes in one statement"]),
        ("y = " + " + ".join("abcdefghij"), []),
        ("raise E(" + " + ".join("abcdefghijklmnop") + ")", []),
        ("print(f'" + "{a + b} " * 20 + "')", []),
        ("TABLE = {" + "'a': (b, -1)," * 20 + "}", []),
        ("TABLE = {" + "'a': b(1)," * 20 + "}", ["line 1: 104 syntax nodes in one statement"]),
        ("for a in b:\n" + "    c = [d for d in a]\n" * 3, []),
    ],
)
def test_a_dense_statement_is_found(source: str, expected: list[str]) -> None:
    assert list(dense_statements(source)) == expected


def test_a_strange_label_is_found() -> None:
    good = '    """Do.\n\n    Shapes:  (N,)\n    Raises:  ValueError\n             Still: the same.\n    """'
    assert list(strange_labels(f"def f():\n{good}")) == []
    assert list(strange_labels(f"def f():\n{good.replace('Raises', 'Errors')}")) == ["f: Errors:"]


def test_files_are_small() -> None:
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in tracked()}
    limits = {name: next((n for start, n in LARGE.items() if name.startswith(start)), MAX_BYTES) for name in sizes}
    assert {name: n for name, n in sizes.items() if n > limits[name]} == {}


def test_nothing_names_a_folder_of_one_machine() -> None:
    pattern = re.compile(r"(?<![\w.])/(?:work|farm|workspace|root)/|/tmp/(?:team|bash_jobs)|file:///(?:home|work)")
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text) if path != Path(__file__)]
    assert found == []


def test_every_chapter_is_a_pair() -> None:
    assert NOTEBOOKS
    assert [path.stem for path in NOTEBOOKS] == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_pair_is_in_sync_and_without_outputs(source: Path) -> None:
    pair = json.loads(committed(source.with_suffix(".ipynb")))
    outputs = [cell for cell in pair["cells"] if cell.get("outputs") or cell.get("execution_count")]
    assert outputs == [], "run: jupytext --sync and clear the outputs"
    assert "kernelspec" in pair["metadata"], f"begin {source.name} with the header of another chapter"
    text = jupytext.writes(jupytext.reads(json.dumps(pair), "ipynb"), "py:percent")
    assert _body(text) == _body(committed(source)), f"run: jupytext --sync {source.name}"


def committed(path: Path) -> str:
    """A file as the next commit would have it: a chapter that somebody has just run is no fault."""
    name = path.relative_to(ROOT).as_posix()
    shown = subprocess.run(["git", "show", f":{name}"], cwd=ROOT, text=True, capture_output=True, check=True)
    return shown.stdout


def _body(text: str) -> str:
    """A percent script without its header, which names the version of jupytext that wrote it."""
    return re.sub(r"\A# ---\n.*?# ---\n", "", text, count=1, flags=re.DOTALL)


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapter_keeps_the_house_style(source: Path) -> None:
    cells = jupytext.read(source).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert cells[0].cell_type == "markdown"
    assert cells[0].source.startswith("# ")
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
    assert [text for text in code if len(text.splitlines()) > MAX_CELL_LINES] == []
    forbidden = re.compile(r"^\s*(?:class |!|%pip|import sys\b)|sys\.path", re.MULTILINE)
    assert [text for text in code if forbidden.search(text)] == []
