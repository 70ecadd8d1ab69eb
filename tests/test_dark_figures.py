"""Figures for the dark theme: light ink on nothing, everything else as it was."""

from __future__ import annotations

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from page4d.viz.dark import DARK_NOTE, INK, dark_png, offer_dark

DARK_PAGE = "#14181e"  # the theme's ground in the dark


def figure_with_a_picture() -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(4, 2))
    left.imshow(np.zeros((4, 4, 3), np.uint8))
    left.plot([0, 3], [0, 3], color="white")
    right.plot([0, 1], [0, 1])
    right.plot([0, 1], [1, 0], color="black")
    right.axvspan(0.2, 0.4, color="0.9")
    right.set(xlabel="step", ylabel="loss")
    return figure


def luminance(colour: str) -> float:
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_words_and_curves_can_be_told_from_the_dark_page() -> None:
    assert contrast(INK, DARK_PAGE) > 7
    for colour in plt.rcParamsDefault["axes.prop_cycle"].by_key()["color"]:
        assert contrast(colour, DARK_PAGE) > 3


def test_the_dark_drawing_has_no_ground_and_no_black_word() -> None:
    figure = figure_with_a_picture()
    pixels = np.asarray(Image.open(io.BytesIO(dark_png(figure))).convert("RGBA")).astype(int)
    assert pixels[0, 0, 3] == 0
    # The right half is the chart: whatever is drawn there is lighter than the page.
    chart = pixels[:, pixels.shape[1] * 3 // 5 :]
    assert chart[..., :3].max(-1)[chart[..., 3] > 250].min() > 0x30
    # The picture on the left stays black, with its white line.
    assert (pixels[:, : pixels.shape[1] // 2, :3].max(-1) == 0).mean() > 0.3


def test_the_figure_itself_stays_as_it_was() -> None:
    figure = figure_with_a_picture()
    figure.canvas.draw()
    before = np.asarray(figure.canvas.buffer_rgba()).copy()  # type: ignore[attr-defined]
    dark_png(figure)
    figure.canvas.draw()
    np.testing.assert_array_equal(np.asarray(figure.canvas.buffer_rgba()), before)  # type: ignore[attr-defined]


def test_a_shown_figure_brings_both_drawings() -> None:
    figure = figure_with_a_picture()
    offer_dark(figure)
    formatter = DisplayFormatter()
    formatter.formatters["image/png"].for_type(Figure, lambda _figure: b"light")
    data, notes = formatter.format(figure)
    assert data["image/png"] == b"light"
    assert notes[DARK_NOTE]
    assert set(data) <= {"image/png", "text/plain"}, "no kind that a reader would not know"


def test_the_book_asks_for_dark_drawings() -> None:
    from book_project import ROOT

    settings = matplotlib.rc_params_from_file(ROOT / "book" / "matplotlibrc", use_default_template=False)
    assert settings["figure.hooks"] == ["page4d.viz.dark:offer_dark"]
