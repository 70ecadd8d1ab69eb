"""Sphinx extension of the book: local MathJax and plotly, and a renderer for plotly's JSON outputs.

The built book must open by double-click without internet, so nothing may come from a content delivery network.
Of the packages that carry the scripts only the one file that is needed is copied.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.util
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from PIL import Image

from page4d.book.reference import docstring_in_rest, examples_in, plain_signature
from page4d.viz.dark import DARK_NOTE

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PLOTLY_MIME = "application/vnd.plotly.v1+json"
MATHJAX = "tex-svg-full.js"  # SVG output carries its glyphs along: no font files to fetch
DEFAULT_HEIGHT_PX = 480
WIDE_PX, WIDER_PX = 800, 1100
UNNAMED = "interactive figure"
PHRASE = 25
LONG_CELL = re.compile(rf"<(td|th)>(?=[^<]{{{PHRASE}}})")
"""The start of a table's cell or head that holds a phrase, not a number or a name."""
NAME_CELL = re.compile(r"<(td|th)>(?=[^<\s]*\w-\w[^<\s]*<)")
"""The start of a cell or head that holds one word with a hyphen, at which a browser would break it."""
PER_CENT = re.compile(r"(?<=\d) %")
COUNT = re.compile(r"\bn = (?=\d)")
SHORT = 24
"""Letters of a name that fits into a line of a phone with room to spare."""
STOP = re.compile(r"[,.;:!?)\]]+")
ROW_HEAD = re.compile(r"(<tr[^>]*>\s*)<th[^>]*>([^<]*)</th>\s*")
"""The start of a table's row with its first head, of which the words are kept."""


class PlotlyRenderer:
    """Turns plotly's JSON output into a placeholder that `page4d.js` draws; myst-nb finds it by its entry point."""

    mime_priority_overrides: ClassVar[Sequence[tuple[str, str, int | None]]] = (("html", PLOTLY_MIME, 1),)

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        """The placeholder for a plotly figure, or None for every other output and every other book."""
        if inline or data.mime_type != PLOTLY_MIME or __name__ not in renderer.renderer.sphinx_env.app.extensions:
            return None
        return [nodes.raw("", figure_html(data.content), format="html")]


def figure_html(figure: dict[str, Any]) -> str:
    """A div with the figure's JSON inside, as a script that is data, not code."""
    height = figure.get("layout", {}).get("height") or DEFAULT_HEIGHT_PX
    title = figure.get("layout", {}).get("title", {})
    label = html.escape(str(title.get("text") or UNNAMED), quote=True)
    # "</script>" inside a string would end the element; "<\/" is the same string in JSON.
    # The frames are what a slider goes through.
    kept = {k: figure[k] for k in ("data", "layout", "frames") if k in figure}
    content = json.dumps(kept).replace("</", "<\\/")
    return (
        f'<div class="page4d-plotly" role="figure" aria-label="{label}" style="height:{height}px">'
        f'<script type="application/json">{content}</script></div>'
    )


def _package_file(package: str, *parts: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {package} is not installed; `make book` installs it")
    return Path(spec.origin).parent.joinpath(*parts)


def copy_scripts(app: Sphinx, error: Exception | None) -> None:
    """Copy MathJax and plotly into the built book, one file each."""
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    shutil.copy(_package_file("sphinx-mathjax-offline", "static", "mathjax", MATHJAX), static / MATHJAX)
    shutil.copy(_package_file("plotly", "package_data", "plotly.min.js"), static / "plotly.min.js")


def drop_live_code_scripts(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: nodes.document | None
) -> None:
    """Leave out sphinx-thebe, which Jupyter Book always loads: it is for live code on a server, and this book has none.

    It names a script on a CDN, and its settings stand twice on every page, which is a JavaScript error.
    """
    scripts = context["script_files"]
    scripts[:] = [s for s in scripts if "thebe" not in f"{s.filename} {s.attributes.get('body', '')}".lower()]
    context["css_files"][:] = [s for s in context["css_files"] if "thebe" not in str(s.filename)]


def show_docstring(app: Sphinx, _what: str, name: str, _value: object, _options: object, lines: list[str]) -> None:
    """Turn a docstring of this house into what Sphinx reads, with the example of its name behind it."""
    examples = examples_in(Path(app.srcdir) / "examples")
    lines[:] = docstring_in_rest(lines, examples.get(name, ""))


def show_signature(
    _app: Sphinx, _what: str, _name: str, _value: object, _options: object, given: str | None, answer: str | None
) -> tuple[str | None, str | None]:
    """Write a signature as the code does."""
    return given and plain_signature(given), answer and plain_signature(answer)


def drop_mathjax_without_formulas(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Leave MathJax, 2 MB, out of pages that have no formula."""
    if doctree is not None and next(iter(doctree.findall(_is_formula)), None) is not None:
        return
    scripts = context["script_files"]
    scripts[:] = [script for script in scripts if MATHJAX not in str(script.filename)]


def _is_formula(node: nodes.Node) -> bool:
    return isinstance(node, nodes.math | nodes.math_block)


def describe_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Give every picture the words of its caption, for those who do not see it: myst-nb gives it a file name.

    Wide pictures are marked, so that a narrow screen scrolls them instead of making their words unreadable.
    """
    for image in doctree.findall(nodes.image):
        file = Path(app.srcdir) / image["uri"]
        wordless = "dark-light" in image["classes"]  # the hero picture; on a narrow screen it is better small than cut
        if file.suffix == ".png" and file.is_file() and not wordless:
            image["classes"] += width_classes(Image.open(file).width)
    for figure in doctree.findall(nodes.figure):
        caption = next(iter(figure.findall(nodes.caption)), None)
        if caption is None:
            continue
        words = caption.astext()
        for image in figure.findall(nodes.image):
            image["alt"] = words
        for raw in list(figure.findall(nodes.raw)):
            raw.parent.replace(raw, nodes.raw("", labelled(raw.astext(), words), **raw.attributes))


def width_classes(width_px: int) -> list[str]:
    """The marks of a picture that a narrow screen must not shrink to its own width."""
    return [name for name, least in (("page4d-wide", WIDE_PX), ("page4d-wider", WIDER_PX)) if width_px > least]


def offer_dark_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Put the dark drawing of each matplotlib figure beside the light one; the theme shows the one that fits."""
    page = app.env.docname
    drawings = dark_drawings(Path(app.env.doc2path(page)))
    for image in list(doctree.findall(nodes.image)):
        uri = Path(image["uri"])
        if uri.stem not in drawings:
            continue
        dark_uri = str(uri.with_name(f"{uri.stem}-dark.png"))
        (Path(app.srcdir) / dark_uri).write_bytes(drawings[uri.stem])
        dark = image.deepcopy()
        dark.update_all_atts({"uri": dark_uri, "candidates": {"*": dark_uri}}, replace=True)
        # Lazily: a browser leaves out a picture that it does not show.
        for each, theme in ((image, "only-light"), (dark, "only-dark")):
            each["classes"] = [*each["classes"], theme]
            each["loading"] = "lazy"
        image.parent.insert(image.parent.index(image) + 1, dark)
        app.env.images.add_file(page, dark_uri)


def dark_drawings(notebook: Path) -> dict[str, bytes]:
    """The dark drawings in an executed chapter; names are those of myst-nb's files, hashes of the light drawings."""
    if notebook.suffix != ".ipynb":
        return {}
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    shown = [output for cell in cells for output in cell.get("outputs", ())]
    both = [output for output in shown if DARK_NOTE in output.get("metadata", {}) and "image/png" in output["data"]]
    lights = [base64.b64decode("".join(output["data"]["image/png"])) for output in both]
    darks = [base64.b64decode(output["metadata"][DARK_NOTE]) for output in both]
    return {hashlib.sha256(light).hexdigest(): dark for light, dark in zip(lights, darks, strict=True)}


def mend_tables(_app: Sphinx, doctree: nodes.document) -> None:
    """Make the tables of outputs fit for every reader."""
    for raw in list(doctree.findall(nodes.raw)):
        if raw.get("format") == "html" and "<td>" in raw.astext():
            raw.parent.replace(raw, nodes.raw("", mended_table(raw.astext()), **raw.attributes))


def mended_table(content: str) -> str:
    """A table without a count of its rows, whose empty corner is a plain cell and whose cells with a phrase are marked.

    Note:    a head without words tells a screen reader nothing; a narrow screen would squeeze a phrase into a column
             of single words, and has no room for pandas's count of rows.
    """
    heads = [words for _, words in ROW_HEAD.findall(content)]
    if len(heads) > 1 and heads == ["", *map(str, range(len(heads) - 1))]:
        content = ROW_HEAD.sub(r"\1", content)
    # A number keeps its per cent sign on its own line, and a count its name.
    content = PER_CENT.sub("&nbsp;%", content.replace("<th></th>", "<td></td>"))
    content = COUNT.sub("n&nbsp;=&nbsp;", content)
    content = NAME_CELL.sub(r'<\1 class="page4d-whole">', content)
    return LONG_CELL.sub(r'<\1 class="page4d-phrase">', content)


def keep_together(_app: object, doctree: nodes.document) -> None:
    """No line begins with a per cent sign or the comma behind a formula; short names stay whole, phrases get room."""
    for cell in doctree.findall(nodes.entry):
        words = [text.astext() for text in cell.findall(nodes.Text) if not isinstance(text.parent, nodes.raw)]
        if len("".join(words)) >= PHRASE:
            cell["classes"].append("page4d-phrase")
    for literal in doctree.findall(nodes.literal):
        if max(map(len, literal.astext().split()), default=0) <= SHORT:
            literal["classes"].append("page4d-short")
    for text in list(doctree.findall(nodes.Text)):
        if not isinstance(text.parent, nodes.FixedTextElement | nodes.literal | nodes.raw | nodes.math):
            text.parent.replace(text, nodes.Text(PER_CENT.sub("\u00a0%", text.astext())))
    for formula in list(doctree.findall(nodes.math)):
        behind = formula.next_node(descend=False, siblings=True)
        stop = STOP.match(behind.astext()) if isinstance(behind, nodes.Text) else None
        if behind is not None and stop is not None:
            rest = nodes.Text(behind.astext()[stop.end() :])
            held = nodes.inline("", "", formula.deepcopy(), nodes.Text(stop[0]), classes=["page4d-held"])
            behind.parent.replace(behind, rest)
            formula.parent.replace(formula, held)


def offer_script(
    app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: nodes.document | None
) -> None:
    """Put the chapter's percent script beside its notebook in the menu of downloads."""
    if not page.startswith("notebooks/"):
        return
    script = {
        "type": "link",
        "url": f"{context['pathto']('_sources/' + page + '.py', 1)}",
        "text": ".py",
        "tooltip": "Download the script of this chapter",
        "icon": "fas fa-file-code",
        "label": "download-script-button",
    }
    for group in context.get("header_buttons", ()):
        if group.get("label") == "download-buttons":
            group["buttons"].insert(1, script)


def labelled(content: str, words: str) -> str:
    """HTML whose interactive figure is called what `words` say, where it has no name of its own."""
    return content.replace(f'aria-label="{UNNAMED}"', f'aria-label="{html.escape(words, quote=True)}"')


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx when the book's configuration names this module."""
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("page4d.book.tables")
    app.connect("autodoc-process-docstring", show_docstring)
    app.connect("autodoc-process-signature", show_signature)
    app.connect("build-finished", copy_scripts)
    app.connect("doctree-read", describe_pictures)
    app.connect("doctree-read", offer_dark_pictures)
    app.connect("doctree-read", mend_tables)
    app.connect("doctree-read", keep_together)
    app.connect("html-page-context", offer_script, priority=900)
    app.connect("html-page-context", drop_live_code_scripts, priority=900)
    app.connect("html-page-context", drop_mathjax_without_formulas, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
