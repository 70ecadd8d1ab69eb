"""The API reference: a page of every public name, made of the docstrings, and the names that each chapter uses."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOMS = (
    "geometry", "world", "data", "prepare", "check", "model", "features", "train", "evaluate", "result", "viz",
)  # fmt: skip
DOORS = ("page4d", *(f"page4d.{room}" for room in ROOMS))
ARRAY = re.compile(
    r"~?numpy\.ndarray\[tuple\[~?typing\.Any, \.\.\.\], ~?numpy\.dtype\[(~?[\w.]+(?:\[~?typing\.Any\])?)\]\]"
)
ARRAY_LIKE = re.compile(r"~?[\w.]+\._Buffer \| .*?_NestedSequence\[complex \| bytes \| str\]")
LABEL = re.compile(r"^(Shapes|Units|Frame|Note|Raises|Source): +")
CODE = re.compile(r"(?<![\w.'-])([ET][1-9]\d?)(?![\w.'-])")
EXAMPLE = re.compile(r"^## (page4d[\w., ]*)\n+```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def public_names(door: str) -> list[str]:
    """What a door offers, without the rooms behind it."""
    module = importlib.import_module(door)
    return [name for name in module.__all__ if not isinstance(getattr(module, name), types.ModuleType)]


def examples_of(text: str) -> dict[str, str]:
    """Public name to its example, from a text of `book/examples`; one example may serve all names of its heading."""
    found: dict[str, str] = {}
    for heading, code in EXAMPLE.findall(text):
        found |= dict.fromkeys(heading.split(", "), code)
    return found


def examples_in(folder: Path) -> dict[str, str]:
    """Public name to its example, from every file of `book/examples`; none where there is no such folder."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.md")):
        found |= examples_of(path.read_text(encoding="utf-8"))
    return found


def reference_page(examples: Mapping[str, str] | None = None) -> str:
    """The page in MyST Markdown: a section per door, a directive per name.

    Note:    examples of values stand in the page itself, for they have no docstring; `show_docstring` adds the others.
    """
    examples = examples or {}
    lines = ["# Reference", ""]
    lines += ["Every name that the package offers, by the door that it is imported from. Made of the docstrings.", ""]
    shown: set[int] = set()
    for door in DOORS:
        summary = str(importlib.import_module(door).__doc__).splitlines()[0]
        lines += [f"## {door}", "", _plain(summary), "", "```{eval-rst}"]
        for name in public_names(door):
            value = getattr(importlib.import_module(door), name)
            # Sphinx wants each thing once; at a second door it is shown again but not registered.
            again = ["   :no-index:"] if id(value) in shown else []
            shown.add(id(value))
            lines += _directive(f"{door}.{name}", value, again, examples.get(f"{door}.{name}", ""))
        lines += ["```", ""]
    return "\n".join(lines)


def _directive(name: str, value: object, options: Sequence[str], example: str) -> list[str]:
    if inspect.isclass(value):
        return [f".. autoclass:: {name}", "   :members:", *options, ""]
    if callable(value):
        return [f".. autofunction:: {name}", *options, ""]
    # The value of a table may be a page long, and its docstring that of its class.
    shown = [f"   {line}".rstrip() for line in example.splitlines()]
    told = f": ``{value}``" if isinstance(value, str | int | float) else ""
    return [f".. py:data:: {name}", *options, "", f"   {type(value).__name__}{told}.", "", *shown, ""]


def docstring_in_rest(lines: Sequence[str], example: str = "") -> list[str]:
    """A docstring of this house in reStructuredText: labels become fields, codes of differences become links."""
    text = inspect.cleandoc("\n".join(lines))
    paragraphs: list[str] = []
    fields: list[str] = []
    for line in text.splitlines():
        label = LABEL.match(line)
        if label:
            fields.append(f":{label[1]}: {_inline(line[label.end() :])}")
        elif fields and line.startswith(" "):
            fields.append(f"    {_inline(line.strip())}")
        elif line.startswith("    ") and not fields:
            paragraphs.append(f"    {line.strip()}" if paragraphs and paragraphs[-1] else line)
        else:
            paragraphs.append(_inline(line))
    shown = ["", *example.rstrip().splitlines()] if example else []
    return [*_with_blocks(paragraphs), "", *fields, *shown, ""]


def plain_signature(text: str) -> str:
    """A signature with arrays called as the code calls them, which Sphinx spells out."""
    # What is not Python Sphinx would print letter by letter, modules and all.
    text = text.replace("<factory>", "...")
    return ARRAY_LIKE.sub("ArrayLike", ARRAY.sub(r"NDArray[\1]", text))


def _with_blocks(lines: Sequence[str]) -> list[str]:
    """Indented lines after a paragraph as a literal block."""
    done: list[str] = []
    for line in lines:
        if line.startswith("    ") and not (done and done[-1].startswith("    ")):
            done += ["", "::", ""]
        elif done and done[-1].startswith("    ") and line and not line.startswith("    "):
            done.append("")
        done.append(line)
    return done


def _inline(text: str) -> str:
    """One line with its `code` as literals and every other sign of the markup taken literally."""
    done = ""
    for part in re.split(r"(`[^`]+`)", text):
        # Signs and letters that touch need an empty space between them, or they are not seen as markup.
        touching = done[-1:].isalnum() if part.startswith("`") else done.endswith("``") and part[:1].isalnum()
        done += "\\ " if touching else ""
        done += f"`{part}`" if part.startswith("`") else _linked(_plain(part))
    return done


def _plain(text: str) -> str:
    return re.sub(r"([*_|\\`])", r"\\\1", text)


def _linked(text: str) -> str:
    """Codes of differences as links to their rows."""
    return CODE.sub(lambda code: f"`{code[1]} <differences.html#{code[1].lower()}>`__", text)


def names_used(source: str) -> Iterator[str]:
    """The public names that a chapter's code imports from the doors, or reads from `page4d`."""
    seen = set()
    for node in ast.walk(ast.parse(source)):
        found = []
        if isinstance(node, ast.ImportFrom) and node.module in DOORS:
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "page4d":
            found = [f"page4d.{node.attr}"]
        for name in found:
            if name not in seen and name not in DOORS:
                seen.add(name)
                yield name


def registered(name: str) -> str:
    """The name under which the reference holds a thing: that of the first door that offers it."""
    door, _, last = name.rpartition(".")
    value = getattr(importlib.import_module(door), last, None)
    for first in DOORS:
        if value is not None and last in public_names(first) and getattr(importlib.import_module(first), last) is value:
            return f"{first}.{last}"
    return name


def _is_module(name: str) -> bool:
    """Whether a name is that of a room, which the reference does not list."""
    door, _, last = name.rpartition(".")
    return inspect.ismodule(getattr(importlib.import_module(door), last, None))


def add_names_used(notebook: Path) -> None:
    """End an executed chapter with links to the reference of every name that it uses."""
    stored = json.loads(notebook.read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in stored["cells"] if cell["cell_type"] == "code"]
    names = [name for name in names_used("\n".join(code)) if not _is_module(name)]
    if not names:
        return
    links = ", ".join(f"{{py:obj}}`{name} <{registered(name)}>`" for name in names)
    cell = {"cell_type": "markdown", "id": "names-used", "metadata": {}, "source": f"**Names used here:** {links}"}
    stored["cells"].append(cell)
    notebook.write_text(json.dumps(stored), encoding="utf-8")
