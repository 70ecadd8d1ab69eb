"""Figures for the dark theme: light ink on nothing, everything else as it was."""

from __future__ import annotations

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from IPython.core.formatters import DisplayFormatter
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from PIL import Image

from page4d.viz.dark import DARK_NOTE, INK, PAGE, contrast, dark_png, offer_dark


def figure_with_a_picture() -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(4, 2))
    left.imshow(np.zeros((4, 4, 3), np.uint8))
    left.plot([0, 3], [0, 3], color="white")
    right.plot([0, 1], [0, 1])
    right.plot([0, 1], [1, 0], color="black")
    right.axvspan(0.2, 0.4, color="0.9")
    right.set(xlabel="step", ylabel="loss")
    return figure


def test_words_and_curves_can_be_told_from_the_dark_page() -> None:
    assert contrast((0, 0, 0), (1, 1, 1)) == 21
    assert contrast(to_rgb(INK), to_rgb(PAGE)) > 7
    for colour in plt.rcParamsDefault["axes.prop_cycle"].by_key()["color"]:
        assert contrast(to_rgb(colour), to_rgb(PAGE)) > 3


def test_deep_colours_and_the_arrows_of_notes_stand_out_in_the_dark() -> None:
    figure, axis = plt.subplots()
    axis.set_axis_off()
    note = axis.annotate("", (1, 1), (0, 0), arrowprops={"arrowstyle": "->"})
    word = axis.text(0.2, 0.8, "depth", color="#2b62c4")
    (line,) = axis.plot([0, 1], [1, 0], color="#1f3f78")
    seen = {}
    figure.canvas.mpl_connect(
        "draw_event",
        lambda _event: seen.update(
            arrow=note.arrow_patch.get_edgecolor(), word=word.get_color(), line=line.get_color()
        ),
    )
    dark_png(figure)
    assert contrast(to_rgba(seen["arrow"]), to_rgba(PAGE)) > 7
    assert contrast(to_rgba(seen["word"]), to_rgba(PAGE)) >= 4.5
    assert contrast(to_rgba(seen["line"]), to_rgba(PAGE)) >= 3
    assert to_rgb(seen["word"])[2] == max(to_rgb(seen["word"])), "blue stays blue"
    assert (word.get_color(), line.get_color()) == ("#2b62c4", "#1f3f78")


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
