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

from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.colors import rgb_to_hsv, to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

DARK_NOTE = "page4d_dark_png"
"""The name of the dark drawing in an output's metadata; as a kind of data, every other reader would complain of it."""
INK, SHADE = "#d9dde3", "#39404a"
"""What black becomes, and what a light grey ground becomes."""
_GREY = 0.1  # a colour of less saturation has no hue that would mean something
_BLACK, _PALE = 0.45, 0.8


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
    for artist in figure.findobj(_has_ink):
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
        told = _dark_colour(colour, ground=isinstance(artist, Patch))
        if told is not None:
            yield name, told


def _dark_colour(colour: Any, ground: bool) -> str | None:
    """What a colour becomes in the dark; None if it stays."""
    if isinstance(colour, str) and colour in ("none", "auto"):
        return None
    red, green, blue, alpha = to_rgba(colour)
    _, saturation, value = rgb_to_hsv((red, green, blue))
    if alpha == 0 or saturation > _GREY:
        return None
    if value < _BLACK:
        return to_hex((*to_rgba(INK)[:3], alpha), keep_alpha=True)
    if ground and value > _PALE:
        return to_hex((*to_rgba(SHADE)[:3], alpha), keep_alpha=True)
    return None
