"""Diagrams: well-formed, readable in any theme, all words inside the picture, and true to the counts they are given."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font

from page4d.viz.diagrams import DIAGRAMS, attention_diagram, mask_diagram, network_diagram
from page4d.viz.svg import Diagram, Drawing

SVG = "{http://www.w3.org/2000/svg}"
PHONE_PX = 350  # a page of 390 px without its margins


def parsed(diagram: Diagram) -> ET.Element:
    return ET.fromstring(diagram)


def words_outside(root: ET.Element) -> list[str]:
    """Texts that leave the viewBox, measured in DejaVu Sans, which is wider than the fonts of browsers."""
    width, height = (float(value) for value in root.attrib["viewBox"].split()[2:])
    font = FT2Font(findfont(FontProperties("DejaVu Sans")))
    outside = []
    for element in root.iter(f"{SVG}text"):
        x, y, size = (float(element.attrib[name]) for name in ("x", "y", "font-size"))
        font.set_size(size, 72)
        font.set_text(element.text or "")
        long = font.get_width_height()[0] / 64
        before = {"start": 0.0, "middle": long / 2, "end": long}[element.attrib["text-anchor"]]
        along, limit = (y, height) if "transform" in element.attrib else (x, width)
        across, other = (x, width) if "transform" in element.attrib else (y, height)
        inside = along - before >= 0 and along - before + long <= limit and size <= across <= other - 2
        if not inside:
            outside.append(element.text or "")
    return outside


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_is_well_formed_and_says_what_it_shows(name: str) -> None:
    diagram = DIAGRAMS[name]()
    root = parsed(diagram)
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    assert len(root.attrib["aria-label"]) > 60
    assert "\n\n" not in diagram, "a blank line would end the HTML block in Markdown"
    assert len(diagram) < 100_000


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_takes_its_colours_from_the_page(name: str) -> None:
    root = parsed(DIAGRAMS[name]())
    style = root.findtext(f"{SVG}style") or ""
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsl", style) == []
    assert set(re.findall(r"color: (var|currentColor)", style)) == {"var"}
    painted = {v for e in root.iter() for k, v in e.attrib.items() if k in ("fill", "stroke", "color")}
    assert painted <= {"currentColor", "none"}
    inks = {e.attrib["class"] for e in root.iter() if e is not root and "class" in e.attrib}
    assert inks - {"text"} <= set(re.findall(r"\.page4d-diagram \.(\w+)", style))


@pytest.mark.parametrize("name", DIAGRAMS)
def test_words_stay_inside_and_legible_on_a_phone(name: str) -> None:
    root = parsed(DIAGRAMS[name]())
    assert words_outside(root) == []
    width = float(root.attrib["viewBox"].split()[2])
    sizes = [float(text.attrib["font-size"]) for text in root.iter(f"{SVG}text")]
    assert min(sizes) * PHONE_PX / width >= 10


def test_words_that_leave_the_picture_are_found() -> None:
    drawing = Drawing(100, 40)
    drawing.words((50, 20), "a line that is far too long for this")
    drawing.words((50, 20), "fits")
    drawing.words((50, 80), "below")
    assert words_outside(parsed(drawing.done("label"))) == ["a line that is far too long for this", "below"]


def test_the_network_has_as_many_blocks_as_it_is_told() -> None:
    root = parsed(network_diagram(depth=6, mask_source=1, masked_pairs=(2, 3, 4), dpt_pairs=(1, 2, 4, 5)))
    cells = [e for e in root.iter(f"{SVG}rect") if e.attrib["height"] == "17"]
    assert [c.attrib["class"] for c in cells].count("frame") == 6
    assert [c.attrib["class"] for c in cells].count("mask") == 3
    assert [c.attrib["class"] for c in cells].count("global") == 3
    assert "after frame block 1" in root.attrib["aria-label"]
    assert words_outside(root) == []


def test_frame_attention_fills_the_diagonal_and_global_attention_everything() -> None:
    root = parsed(attention_diagram())
    cells = [e for e in root.iter(f"{SVG}rect") if "stroke" not in e.attrib]
    assert [c.attrib["class"] for c in cells].count("frame") == 3 * 36
    assert [c.attrib["class"] for c in cells].count("global") == 9 * 36


def test_the_mask_touches_special_rows_and_patch_columns_only() -> None:
    m = [[0.2, -0.4, 0.1], [-0.3, 0.1, 0.2]]
    root = parsed(mask_diagram(m, special=2))
    side = 270 / 10 - 1
    squares = [e for e in root.iter(f"{SVG}rect") if float(e.attrib["height"]) == pytest.approx(side, abs=0.01)]
    coloured = [e for e in squares if e.attrib["class"] != "muted"]
    assert len(squares) == 100 + len(coloured)
    assert len(coloured) == 4 * 6
    rows = {round((float(e.attrib["y"]) - 92.5) / 27) for e in coloured}
    columns = {round((float(e.attrib["x"]) - 84.5) / 27) for e in coloured}
    assert rows == {0, 1, 5, 6}
    assert columns == {2, 3, 4, 7, 8, 9}


def test_a_notebook_shows_the_picture_and_a_file_holds_it(tmp_path: Path) -> None:
    diagram = DIAGRAMS["axes"]()
    assert diagram._repr_html_() == str(diagram)
    assert repr(diagram).startswith("<diagram")
    assert diagram.save(tmp_path / "axes.svg").read_text() == diagram


def test_text_is_escaped() -> None:
    drawing = Drawing(100, 40)
    drawing.words((50, 20), "a < b & c")
    assert parsed(drawing.done('the "sign" <')).findtext(f"{SVG}text") == "a < b & c"


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_stands_in_the_book_once(name: str) -> None:
    function = DIAGRAMS[name].__name__
    chapters = (Path(__file__).parent.parent / "notebooks").glob("*.py")
    assert sum(path.read_text().count(f"\n{function}(") for path in chapters) == 1
