"""Tables of outputs are numbered apart from figures, and are referred to as tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from book_project import ROOT

TABLE = "<table><tr><th></th><th>a</th></tr><tr><th>0</th><td>1</td></tr></table>"
CONF = 'extensions = ["myst_nb", "page4d.book.tables"]\nnumfig = True\nnb_execution_mode = "off"\n'


def shown(name: str, content: str) -> Any:
    output = nbformat.v4.new_output("execute_result", {"text/html": content}, execution_count=1)
    figure = {"mystnb": {"figure": {"caption": f"What {name} says.", "name": name}}}
    return nbformat.v4.new_code_cell("1", execution_count=1, outputs=[output], metadata=figure)


def test_tables_and_figures_count_apart(tmp_path: Path) -> None:
    from sphinx.application import Sphinx

    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    text = nbformat.v4.new_markdown_cell("# A page\n\nSee {numref}`tab-sum`, {numref}`fig-sum` and {numref}`tab-more`.")
    cells = [text, shown("tab-sum", TABLE), shown("fig-sum", "<b>3</b>"), shown("tab-more", TABLE)]
    language = {"language_info": {"name": "python", "pygments_lexer": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=language), source / "index.ipynb")
    (source / "conf.py").write_text(CONF)

    Sphinx(str(source), str(source), str(out), str(tmp_path / "trees"), "html", status=None).build()

    page = (out / "index.html").read_text()
    assert re.findall(r'caption-number">([^<]*?) ?<', page) == ["Table 1", "Fig. 1", "Table 2"]
    assert re.findall(r'std-numref">([^<]*)<', page) == ["Table 1", "Fig. 1", "Table 2"]
    assert page.count("<table>") == 2


@pytest.mark.parametrize("source", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_tables_of_a_chapter_are_named_as_tables_and_spoken_of(source: Path) -> None:
    cells = jupytext.read(source).cells
    text = "\n".join(cell.source for cell in cells)
    names = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name", "") for cell in cells]
    assert [name for name in names if name and not name.startswith(("fig-", "tab-"))] == []
    assert [name for name in names if name.startswith("tab-") and f"{{numref}}`{name}`" not in text] == []
