"""A second drawing of each matplotlib figure for the dark theme: light ink on nothing, same curves, same pictures.

`book/matplotlibrc` names `offer_dark` among matplotlib's hooks, so that chapters of the book need no word about it; a
figure then brings its dark drawing along, among the notes of its output, where only the book's builder looks.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.colors import rgb_to_hsv, to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation, Text

DARK_NOTE = "page4d_dark_png"
"""The name of the dark drawing in an output's metadata; as a kind of data, every other reader would complain of it."""
INK, SHADE = "#d9dde3", "#39404a"
"""What black becomes, and what a light grey ground becomes."""
PAGE = "#14181e"
"""The theme's ground in the dark."""
_GREY = 0.1  # a colour of less saturation has no hue that would mean something
_BLACK, _PALE = 0.45, 0.8
_WORDS_APART, _LINES_APART = 4.5, 3.0  # least contrast with the page: WCAG 2.1, criteria 1.4.3 and 1.4.11


def offer_dark(figure: Figure) -> None:
    """Let a figure that is shown in a notebook bring its dark drawing along."""

    def bundle(**_kinds: Any) -> tuple[dict[str, str], dict[str, str]]:
        return {}, {DARK_NOTE: base64.b64encode(dark_png(figure)).decode()}

    # IPython asks an object for this method before its own formatters draw the usual picture.
    figure._repr_mimebundle_ = bundle  # type: ignore[attr-defined]


def dark_png(figure: Figure) -> bytes:
    """The figure as PNG with light ink on a transparent ground; the figure itself stays as it was."""
    # Ticks come into being while drawing; what is not there yet could not be recoloured.
    figure.canvas.draw()
    stream = io.BytesIO()
    with _in_light_ink(figure):
        figure.savefig(stream, format="png", bbox_inches="tight", facecolor="none", dpi=figure.dpi)
    return stream.getvalue()


@contextmanager
def _in_light_ink(figure: Figure) -> Iterator[None]:
    undo = [_changed(axes.patch, "facecolor", "none") for axes in figure.axes]
    for artist in _inked(figure):
        undo += [_changed(artist, name, told) for name, told in _dark_colours(artist)]
    try:
        yield
    finally:
        for step in reversed(undo):
            step()


def _changed(artist: Artist, name: str, colour: Any) -> Callable[[], None]:
    before = getattr(artist, f"get_{name}")()
    change = getattr(artist, f"set_{name}")
    change(colour)
    return lambda: change(before)


def _inked(figure: Figure) -> Iterator[Artist]:
    for artist in figure.findobj(_has_ink):
        yield artist
        # matplotlib does not count the arrow of a note among the figure's children.
        if isinstance(artist, Annotation) and artist.arrow_patch is not None:
            yield artist.arrow_patch


def _has_ink(artist: Artist) -> bool:
    return isinstance(artist, Text | Line2D | Patch | Collection)


def _dark_colours(artist: Artist) -> Iterator[tuple[str, Any]]:
    """The colours of an artist that must change, by name; white on a picture stays white."""
    if isinstance(artist, Text):
        names = ["color"]
    elif isinstance(artist, Line2D):
        names = ["color", "markeredgecolor", "markerfacecolor"]
    else:
        names = ["edgecolor", "facecolor"] if isinstance(artist, Patch) else ["edgecolor"]
    for name in names:
        colour = getattr(artist, f"get_{name}")()
        if isinstance(artist, Collection):
            if len(colour) != 1:
                continue
            colour = colour[0]
        apart = _WORDS_APART if isinstance(artist, Text) else _LINES_APART
        told = _dark_colour(colour, isinstance(artist, Patch), apart)
        if told is not None:
            yield name, told


def _dark_colour(colour: Any, ground: bool, apart: float) -> str | None:
    """What a colour becomes in the dark; None if it stays."""
    if isinstance(colour, str) and colour in ("none", "auto"):
        return None
    red, green, blue, alpha = to_rgba(colour)
    _, saturation, value = rgb_to_hsv((red, green, blue))
    if alpha == 0:
        return None
    if saturation > _GREY:
        return _lighter((red, green, blue, alpha), apart)
    if value < _BLACK:
        return to_hex((*to_rgba(INK)[:3], alpha), keep_alpha=True)
    if ground and value > _PALE:
        return to_hex((*to_rgba(SHADE)[:3], alpha), keep_alpha=True)
    return None


def _lighter(colour: tuple[float, float, float, float], apart: float) -> str | None:
    """A colour of the same hue that is mixed with white until it stands out; None if it does already."""
    for white in np.linspace(0, 1, 21):
        mixed = (1 - white) * np.array(colour[:3]) + white
        if contrast(mixed, to_rgba(PAGE)) >= apart:
            break
    return to_hex((*mixed, colour[3]), keep_alpha=True) if white > 0 else None


def contrast(one: Any, other: Any) -> float:
    """How far two colours (red, green, blue from 0 to 1) are apart in brightness, from 1 to 21.

    Source:  WCAG 2.1, relative luminance and contrast ratio.
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Any) -> float:
    parts = np.array(colour[:3])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
