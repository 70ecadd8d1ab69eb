"""The chapters of the book: find them, check their parameters, execute them through papermill.

A chapter is a percent script in `notebooks/`. It has one cell tagged `parameters` that assigns literals; papermill
injects given values after it. papermill only warns about a name that no cell assigns, so names are checked here.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from page4d.book.provenance import data_hashes, machine_words, shipped_hashes
from page4d.places import MOST_TEXT, bytes_of
from page4d.schema import MALFORMED, UserError, atomic_write
from page4d.settings import did_you_mean

KERNEL = "python3"
STARTS, UNBORN = 3, "Kernel died before replying"  # how often a kernel is started, and what tells that it did not
# What a published page must not name: where the package, its libraries and the kernel's cells lie on this machine.
HERE = re.compile(re.escape(f"{Path(__file__).parent.parent}{os.sep}") + r"|/site-packages/|ipykernel_\d+")


class ChapterError(Exception):
    """A chapter stopped with an error; the message shows the cell and the traceback."""


@dataclass(frozen=True)
class Chapter:
    """A chapter's source with the defaults of its `parameters` cell."""

    name: str
    path: Path
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Execution:
    """What is known of one execution; a line of the status page."""

    chapter: str
    title: str
    seconds: float
    finished: str
    parameters: dict[str, Any]
    key: str
    profile: str = "ci"
    data: dict[str, str] = field(default_factory=dict)
    shipped: dict[str, str] = field(default_factory=dict)
    machine: str = ""


def toc_entries(toc: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every page entry of a Jupyter Book table of contents, in reading order."""
    entries: list[dict[str, str]] = []
    for part in toc.get("parts", [toc]):
        for entry in part.get("chapters", []):
            entries.append(entry)
            entries.extend(entry.get("sections", []))
    return entries


def find_chapters(root: Path, wanted: Sequence[str] = ()) -> list[Chapter]:
    """The chapters in the order of `book/_toc.yml`, or those of them that `wanted` names.

    A chapter is named by its file name, by its number (`01`) or by what follows the number (`quickstart`).

    Raises:  UserError if `root` is no checkout of the project, if the contents page and `notebooks/` disagree,
             or if a wanted name fits none.
    """
    toc_path, folder = root / "book" / "_toc.yml", root / "notebooks"
    if not toc_path.is_file() or not folder.is_dir():
        raise UserError(f"{root} has no book/_toc.yml and notebooks/; run `page4d book` in a checkout of the project")
    try:
        files = [entry["file"] for entry in toc_entries(yaml.safe_load(bytes_of(toc_path, MOST_TEXT)))]
    except (OSError, yaml.YAMLError, *MALFORMED) as error:
        raise UserError(
            f"{toc_path} is no table of contents of a Jupyter Book: {' '.join(str(error).split())}"
        ) from error
    listed = [Path(file).name for file in files if file.startswith("notebooks/")]
    present = {path.stem for path in folder.glob("*.py")}
    if set(listed) != present:
        raise UserError(
            f"book/_toc.yml and notebooks/ disagree: only listed {sorted(set(listed) - present)}, "
            f"only in notebooks/ {sorted(present - set(listed))}; make them agree"
        )
    for name in wanted:
        if not any(_is_called(chapter, name) for chapter in listed):
            raise UserError(f"no chapter {name!r}; there are {', '.join(listed)}")
    return [read_chapter(folder / f"{chapter}.py") for chapter in listed if not wanted or _is_wanted(chapter, wanted)]


def _is_wanted(chapter: str, wanted: Sequence[str]) -> bool:
    return any(_is_called(chapter, name) for name in wanted)


def _is_called(chapter: str, name: str) -> bool:
    return name.removesuffix(".py").removesuffix(".ipynb") in (chapter, *chapter.split("_", 1))


def read_chapter(path: Path) -> Chapter:
    """Read a percent script's parameters without executing it.

    Raises:  UserError for what is no percent script, and unless exactly one cell is tagged `parameters` and it assigns
             only literals to names.
    """
    import jupytext

    try:
        notebook = jupytext.reads(bytes_of(path, MOST_TEXT).decode("utf-8-sig"), "py")
        cells = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    except (OSError, *MALFORMED) as error:
        raise UserError(f"{path} is no chapter that jupytext can read: {error}") from error
    if len(cells) != 1:
        raise UserError(f"{path} has {len(cells)} cells tagged parameters; a chapter has exactly one")
    parameters: dict[str, Any] = {}
    for statement in _statements(cells[0], path):
        try:
            if not isinstance(statement, ast.Assign):
                raise ValueError("not an assignment")
            (target,) = statement.targets
            parameters[ast.unparse(target)] = ast.literal_eval(statement.value)
        except ValueError as error:
            line = ast.unparse(statement)
            raise UserError(f"{path}: {line!r} in the parameters cell is not `name = literal` ({error})") from error
    return Chapter(path.stem, path, parameters)


def _statements(cell: str, path: Path) -> list[ast.stmt]:
    try:
        return ast.parse(cell).body
    except SyntaxError as error:
        raise UserError(f"{path}: the parameters cell is not Python ({error})") from error


def assign_parameters(chapters: Sequence[Chapter], given: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Per chapter the given values that it knows, converted to the type of its default.

    Raises:  UserError if no chapter knows a name, or if a value does not fit the default's type.
    """
    known = sorted({name for chapter in chapters for name in chapter.parameters})
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(f"no chapter has a parameter {name!r}{hint or '.'} There are: {', '.join(known)}")
    return {chapter.name: _convert_known(chapter, given) for chapter in chapters}


def _convert_known(chapter: Chapter, given: Mapping[str, str]) -> dict[str, Any]:
    known = (name for name in given if name in chapter.parameters)
    return {name: _convert(name, given[name], chapter.parameters[name]) for name in known}


def _convert(name: str, text: str, default: Any) -> Any:
    """The text as the default's type: a default that is a string keeps `0005` a string."""
    if isinstance(default, str):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if default is not None and type(value) is not type(default):
        kind = type(default).__name__
        raise UserError(f"parameter {name} takes a value of type {kind}, like {default!r}; got {text!r}")
    return value


@dataclass(frozen=True)
class RunPlan:
    """A chapter that has to run, with what it is given, hashes of what that names on disk, and the key of its record.

    Note:    the key is a hash of what decides a chapter's output and its words: source, parameters, profile, data,
             package, results.
    """

    chapter: Chapter
    parameters: Mapping[str, Any]
    data: Mapping[str, str]
    key: str
    profile: str = "ci"


def plan_run(chapter: Chapter, parameters: Mapping[str, Any], root: Path, profile: str = "ci") -> RunPlan:
    """What running a chapter of the checkout at `root` with these parameters takes, all of it looked up now."""
    data = data_hashes({**chapter.parameters, **parameters})
    named = {**parameters, "profile of the book": profile, "data on disk": data}
    digest = hashlib.sha256(json.dumps(named, sort_keys=True, default=repr).encode())
    shipped = [root / folder for folder in ("conf", "book/results", "benchmarks/results")]
    files = [p for folder in (Path(__file__).parent.parent, *shipped) for p in sorted(folder.rglob("*")) if p.is_file()]
    for path in [chapter.path, *(p for p in files if "__pycache__" not in p.parts)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return RunPlan(chapter, parameters, data, digest.hexdigest(), profile)


def reusable(plan: RunPlan, folder: Path) -> Execution | None:
    """The record of an earlier execution in `folder` with the same key, if its notebook is still there."""
    name = plan.chapter.name
    record = folder / f"{name}.json"
    if not record.is_file() or not (folder / f"{name}.ipynb").is_file():
        return None
    execution = Execution(**json.loads(record.read_text(encoding="utf-8")))
    return execution if execution.key == plan.key else None


def execute(plan: RunPlan, folder: Path) -> Execution:
    """Run a chapter; write `<name>.ipynb` with outputs and `<name>.json` with its record into `folder`.

    Paths in parameters are relative to the current working folder, as on any command line.

    Raises:  ChapterError at the first cell that fails, or if an output names a place on this machine; the notebook
             up to there stays as `<name>.failed.ipynb`.
    """
    import jupytext
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    chapter = plan.chapter
    failed, done = folder / f"{chapter.name}.failed.ipynb", folder / f"{chapter.name}.ipynb"
    notebook = jupytext.read(chapter.path)
    used = {**chapter.parameters, **plan.parameters}
    shipped = shipped_hashes(_code(notebook.cells), used)
    start = time.monotonic()
    try:
        os.environ.setdefault("MATPLOTLIBRC", str(chapter.path.parent.parent / "book" / "matplotlibrc"))
        executed = run_cells(notebook, plan.parameters, failed)
    except PapermillExecutionError as error:
        raise ChapterError(_describe(chapter, error, failed)) from error
    except DeadKernelError as error:
        raise ChapterError(f"{chapter.path}: the kernel died ({error}), perhaps for want of memory") from error
    if places := places_named(executed.cells):
        told = "\n".join(f"    {line}" for line in places)
        raise ChapterError(f"{chapter.path}: outputs name places on this machine; print names instead:\n{told}")
    failed.replace(done)
    seconds = round(time.monotonic() - start, 1)
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    title, machine = _title(notebook.cells), machine_words()
    made = (plan.key, plan.profile, dict(plan.data), shipped)
    execution = Execution(chapter.name, title, seconds, finished, used, *made, machine)
    with atomic_write(folder / f"{chapter.name}.json", "w") as stream:
        json.dump(asdict(execution), stream, indent=1)
    return execution


def run_cells(notebook: Any, parameters: Mapping[str, Any], out: Path, folder: Path | None = None) -> Any:
    """The notebook with its outputs, which is also written; its kernel works in `folder`, or where we are.

    Note:    two kernels that start at one moment may be given the same port, of which one dies; it is started again.
    Raises:  ChapterError if no kernel starts, and what papermill raises for a cell that fails.
    """
    import papermill

    for _ in range(STARTS):
        try:
            return papermill.execute_notebook(
                notebook,
                str(out),
                dict(parameters),
                kernel_name=KERNEL,
                language="python",
                cwd=str(folder or Path.cwd()),
                progress_bar=False,
            )
        except RuntimeError as error:
            if UNBORN not in str(error):
                raise
            why = error
    raise ChapterError(f"no kernel starts here ({why}); does `jupyter kernelspec list` name {KERNEL}?") from why


def places_named(cells: Sequence[Any]) -> list[str]:
    """The lines of cells' outputs that name a place where this machine keeps the package, a library or a kernel."""
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    shown = [{"text": output.get("text", ""), **output.get("data", {})} for output in outputs]
    texts = [text for data in shown for kind, text in data.items() if kind.startswith("text") and isinstance(text, str)]
    lines = [line for text in texts for line in text.splitlines()]
    return [line[:200] for line in lines if HERE.search(line)]


def _code(cells: Sequence[Any]) -> str:
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def _title(cells: Sequence[Any]) -> str:
    lines = (line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines())
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), "untitled")


def _describe(chapter: Chapter, error: Any, failed: Path) -> str:
    cell = "\n".join(f"    {line}" for line in str(error.source).splitlines())
    # Without the colours that IPython puts in: the message goes to logs as often as to a terminal.
    traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
    return (
        f"{chapter.path} failed in the cell with execution count {error.exec_count}:\n\n{cell}\n\n{traceback}\n\n"
        f"The notebook up to this cell is {failed}"
    )
