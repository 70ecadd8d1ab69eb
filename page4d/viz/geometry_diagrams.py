"""Two diagrams of geometry: axes with pixel centres, and the way from an original picture to the network and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from page4d.viz.svg import TIMES, TRANSPOSED, WIDTH, Diagram, Drawing, Ink, Point

# The looker stands behind, above and left of the first camera; directions as rows x, y, z of a drawing's right, down.
_LOOK = np.array([[0.86, 0.0, 0.42], [0.2, 0.93, -0.42]])


def axes_diagram() -> Diagram:
    """Camera and world axes (OpenCV), and pixel centres at whole numbers."""
    d = Drawing(WIDTH, 454)
    c, s = np.cos(np.deg2rad(32.0)), np.sin(np.deg2rad(32.0))
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    centre = np.array([1.8, -0.1, 0.2])
    _camera(d, np.eye(3), np.zeros(3), "frame", "0")
    _camera(d, rotation, centre, "text", "i")
    point = np.array([0.95, 0.1, 2.6])
    d.dot(_drawn(point), 4, "mask")
    d.words((_drawn(point)[0] + 9, _drawn(point)[1] - 6), "X", anchor="start", ink="mask", strong=True)
    for origin in (np.zeros(3), centre):
        d.line([_drawn(origin), _drawn(point)], "mask", 1, dashed=True)
    d.words((24, 24), "camera 0 = world", anchor="start", ink="frame")
    d.words((190, 226), f"seen from camera i: R X + t;  its centre: -R{TRANSPOSED} t")
    _pixels(d, (78, 272), 38.0)
    return d.done(
        "Two cameras with axes x to the right, y down, z forward; the first is the world. Below, the upper left corner "
        "of a picture: the centre of the first pixel is at (0, 0), its corner at (-0.5, -0.5)."
    )


def _drawn(point: NDArray[np.float64]) -> Point:
    right, down = _LOOK @ point
    return 62 + 112 * float(right), 108 + 98 * float(down)


def _camera(d: Drawing, rotation: NDArray[np.float64], centre: NDArray[np.float64], ink: Ink, name: str) -> None:
    """Axes and picture plane of one camera; the rows of `rotation` are its axes in the world."""
    signs = np.array([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)])
    corners = centre + signs * (0.36, 0.26, 0.55) @ rotation
    drawn = [_drawn(corner) for corner in corners]
    d.area(drawn, ink, 0.1, 1)
    for corner in drawn:
        d.line([_drawn(centre), corner], ink, 0.7)
    for axis, letter in enumerate("xyz"):
        tip = _drawn(centre + (1.05 if letter == "z" else 0.75) * rotation[axis])
        start = _drawn(centre)
        d.line([start, tip], ink, 1.8, arrow=True)
        across, along = tip[0] - start[0], tip[1] - start[1]
        aside = (tip[0] + 0.14 * across, tip[1] + 0.14 * along + 4)
        d.words(aside, letter, 13, ink=ink, strong=True)
    d.words((_drawn(centre)[0] - 6, _drawn(centre)[1] + 16), name, anchor="end", ink=ink, strong=True)


def _pixels(d: Drawing, corner: Point, side: float) -> None:
    columns, rows = 6, 4
    for row in range(rows):
        for column in range(columns):
            at = (corner[0] + side * column, corner[1] + side * row)
            first = row == column == 0
            d.box(at, (side, side), "frame" if first else "muted", 0.25 if first else 0.03, 0.8, 0)
            d.dot((at[0] + side / 2, at[1] + side / 2), 2.2, "frame" if first else "muted")
    for column in range(columns):
        d.words((corner[0] + side * (column + 0.5), corner[1] - 8), f"{column}", 11.5, ink="muted")
    for row in range(rows):
        d.words((corner[0] - 9, corner[1] + side * (row + 0.5) + 4), f"{row}", 11.5, "end", "muted")
    d.words((corner[0] + side * columns + 8, corner[1] + 4), "y = -0.5", 11.5, "start", "muted")
    d.words((corner[0] + side * columns + 8, corner[1] + side * rows + 4), "y = H - 0.5", 11.5, "start", "muted")
    d.words((corner[0] - 14, corner[1] - 8), "x", 13, ink="text", strong=True)
    d.words((corner[0] - 40, corner[1] + side * rows / 2 + 4), "y", 13, strong=True)
    d.words((190, corner[1] + side * rows + 22), "pixel (0, 0) is centred at (0, 0)")


def crop_diagram() -> Diagram:
    """From an original picture to the network's input and back: where a map's pixel lies in the original."""
    d = Drawing(WIDTH, 500)
    d.words((190, 16), f"original: W0 {TIMES} H0", strong=True)
    _scene(d, (85, 26), (210, 118))
    d.box((122, 26), (136, 118), "frame", 0.06, 2, 0)
    d.words((310, 80), "kept box", anchor="start", ink="frame")
    d.line([(308, 76), (260, 76)], "frame", arrow=True)
    _step(d, 150, "cut, resize by s", "u' = (u + 0.5) s - 0.5")
    d.words((190, 216), "network: sides are multiples of the patch", strong=True)
    for row in range(6):
        for column in range(7):
            d.box((136.0 + 15.4 * column, 226 + 15.4 * row), (15.4, 15.4), "muted", 0.05, 0.6, 0)
    _step(d, 326, "forward pass, then back", "u = (u' + 0.5) / s - 0.5")
    d.words((190, 392), "map on the original's pixels", strong=True)
    d.box((85, 402), (210, 78), "muted", 0, 1, 0)
    d.box((122, 402), (136, 78), "frame", 0.35, 0, 0)
    for x in (103.0, 276.0):
        d.words((x, 445), "none", 11.5, ink="muted")
    d.words((190, 445), "values")
    d.words((190, 496), "outside the box nothing was seen: NaN", 11.5, ink="muted")
    return d.done(
        "A box of the original picture is cut out and resized to the network's input; the predicted map goes back onto "
        "the original's pixels by the inverse formula, and what lay outside the box stays without a value."
    )


def _scene(d: Drawing, at: Point, size: Point) -> None:
    x, y = at
    w, h = size
    d.box(at, size, "muted", 0.05, 1, 0)
    d.hills(at, size)
    d.dot((x + 0.55 * w, y + 0.8 * h), 7, "mask")


def _step(d: Drawing, top: float, words: str, formula: str) -> None:
    d.line([(190, top), (190, top + 50)], arrow=True)
    d.words((178, top + 28), words, 11.5, "end")
    d.words((202, top + 28), formula, 11.5, "start", code=True)
