"""A few SVG primitives for diagrams that follow the page's theme: text colour for lines, three inks by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import atan2, cos, sin
from pathlib import Path
from typing import Literal

from page4d.schema import atomic_write

Ink = Literal["text", "muted", "frame", "global", "mask"]
Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]

# An ink is a custom property, then the book theme's own colour, then JupyterLab's, then the text colour.
_THEME: dict[Ink, tuple[str, ...]] = {
    "muted": ("--page4d-ink-muted", "--pst-color-text-muted", "--jp-ui-font-color2"),
    "frame": ("--page4d-ink-frame", "--pst-color-primary", "--jp-brand-color1"),
    "global": ("--page4d-ink-global", "--pst-color-secondary", "--jp-accent-color1"),
    "mask": ("--page4d-ink-mask", "--pst-color-warning", "--jp-warn-color1"),
}
_ARROW_PX = 7.0
_HILLS = ((0.0, 0.75), (0.2, 0.45), (0.4, 0.65), (0.62, 0.35), (0.85, 0.6), (1.0, 0.5))
WIDTH = 380.0  # of a drawing: letters of size 12 stay legible where a page is 390 px wide
TIMES, TRANSPOSED = "\u00d7", "\u1d40"
MONOSPACE = "var(--pst-font-family-monospace, monospace)"


def _rule(ink: str, properties: Sequence[str]) -> str:
    value = "currentColor"
    for name in reversed(properties):
        value = f"var({name}, {value})"
    return f".page4d-diagram .{ink} {{ color: {value} }}"


_STYLE = "\n".join(_rule(ink, properties) for ink, properties in _THEME.items())


class Diagram(str):
    """An SVG as text, which notebooks and the book put into the page itself, so that the page's colours reach it."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"<diagram, {len(self)} characters of SVG>"

    def save(self, path: Path | str) -> Path:
        """Write the SVG to a file; alone, without a page, it is drawn in black."""
        with atomic_write(Path(path), "w") as stream:
            stream.write(self)
        return Path(path)


class Drawing:
    """Collects shapes in a coordinate system with y down; `done` makes the Diagram.

    Note:  everything is drawn in `currentColor`; the ink's class decides what that is. `widest_px` is how wide a page
           may show it; the numbers are chosen so that letters stay legible on a page 390 px wide.
    """

    def __init__(self, width: float, height: float, widest_px: int = 480) -> None:
        self.width, self.height, self.widest_px = width, height, widest_px
        self.parts: list[str] = []

    def shape(self, tag: str, ink: Ink, attributes: Mapping[str, object], content: str = "") -> None:
        """Any element; underscores in attribute names stand for hyphens."""
        named = {"class": ink, **attributes}
        pairs = [f'{name.replace("_", "-")}="{_number(value)}"' for name, value in named.items()]
        self.parts.append(f"<{tag} {' '.join(pairs)}>{content}</{tag}>")

    def box(
        self, at: Point, size: Point, ink: Ink = "text", fill: float = 0.08, line: float = 1.0, radius: float = 4
    ) -> None:
        """A rectangle from its upper left corner; `fill` is the opacity inside, `line` the width of its edge."""
        frame = {"x": at[0], "y": at[1], "width": size[0], "height": size[1], "rx": radius}
        self.shape("rect", ink, {**frame, **_painted(fill, line)})

    def words(
        self, at: Point, text: str, size: float = 12, anchor: Anchor = "middle", ink: Ink = "text",
        strong: bool = False, code: bool = False, turned: bool = False,
    ) -> None:  # fmt: skip
        """A line of text, its baseline at `at`; `turned` reads upwards."""
        attributes: dict[str, object] = {"x": at[0], "y": at[1], "font_size": size, "text_anchor": anchor}
        if strong:
            attributes["font_weight"] = 600
        if code:
            attributes["font_family"] = MONOSPACE
        if turned:
            attributes["transform"] = f"rotate(-90 {_number(at[0])} {_number(at[1])})"
        self.shape("text", ink, {**attributes, "fill": "currentColor"}, escape(text))

    def line(
        self, points: Sequence[Point], ink: Ink = "text", width: float = 1.2, arrow: bool = False, dashed: bool = False
    ) -> None:
        """A polyline, with an arrow head at its end if asked for."""
        attributes = {"points": _joined(points), "fill": "none", "stroke": "currentColor", "stroke_width": width}
        if dashed:
            attributes["stroke_dasharray"] = "4 3"
        self.shape("polyline", ink, attributes)
        if arrow:
            self.area(_arrow_head(points[-2], points[-1]), ink, 1.0)

    def area(self, points: Sequence[Point], ink: Ink = "text", fill: float = 0.08, line: float = 0.0) -> None:
        """A filled polygon."""
        self.shape("polygon", ink, {"points": _joined(points), **_painted(fill, line)})

    def dot(self, at: Point, radius: float = 2.5, ink: Ink = "text", fill: float = 1.0) -> None:
        """A filled disc."""
        self.shape("circle", ink, {"cx": at[0], "cy": at[1], "r": radius, **_painted(fill, 0)})

    def hills(self, at: Point, size: Point) -> None:
        """The outline of hills in a box: what stands still in the diagrams' pictures."""
        (x, y), (width, height) = at, size
        outline = [(x + width * u, y + height * v) for u, v in _HILLS]
        self.line(outline, "muted")

    def done(self, label: str, colour: str | None = None) -> Diagram:
        """The finished SVG; `label` is what a screen reader says instead of the picture.

        Note:  `colour` is for files that stand alone; None takes the text colour of the page.
        """
        own = f"color:{colour};" if colour else ""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="page4d-diagram" role="img" aria-label="{escape(label)}" '
            f'viewBox="0 0 {_number(self.width)} {_number(self.height)}" '
            f'style="{own}display:block;margin:0 auto;width:100%;max-width:{self.widest_px}px;height:auto">'
        )
        # No blank line inside: Markdown would end the HTML block there.
        return Diagram("\n".join((head, f"<style>{_STYLE}</style>", *self.parts, "</svg>")))


def _painted(fill: float, line: float) -> dict[str, object]:
    edge: dict[str, object] = {"stroke": "currentColor", "stroke_width": line} if line else {}
    return {"fill": "currentColor", "fill_opacity": fill, **edge}


def _joined(points: Sequence[Point]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _arrow_head(start: Point, tip: Point) -> list[Point]:
    direction = atan2(tip[1] - start[1], tip[0] - start[0])
    corners = [tip]
    for turn in (2.7, -2.7):
        reach = direction + turn
        corners.append((tip[0] + _ARROW_PX * cos(reach), tip[1] + _ARROW_PX * sin(reach)))
    return corners
