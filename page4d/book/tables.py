"""Tables of outputs that are numbered as tables: myst-nb makes a figure of every output with a caption.

A figure whose name begins with `tab-` becomes a node of its own kind, so that its number is "Table 3.1" and
`` {numref}`tab-...` `` says so, and tables and figures count apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PREFIX = "tab-"


class TableFigure(nodes.figure):  # type: ignore[misc]  # docutils has no types
    """A figure whose content is a table."""


def number_tables(_app: Sphinx, doctree: nodes.document) -> None:
    """Make tables of the figures that are named as tables."""
    for figure in list(doctree.findall(nodes.figure)):
        if not any(name.startswith(PREFIX) for name in figure["names"]):
            continue
        table = TableFigure("", *figure.children, **figure.attributes)
        table.source, table.line = figure.source, figure.line
        figure.parent.replace(figure, table)
        for each in table["ids"]:
            doctree.ids[each] = table


def visit_table_figure(writer: Any, node: TableFigure) -> None:
    """Write it as a figure is written."""
    writer.visit_figure(node)


def depart_table_figure(writer: Any, node: TableFigure) -> None:
    """End it as a figure ends."""
    writer.depart_figure(node)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx: `page4d.book.sphinx` brings this extension along."""
    app.add_enumerable_node(TableFigure, "table", html=(visit_table_figure, depart_table_figure))
    app.connect("doctree-read", number_tables)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
