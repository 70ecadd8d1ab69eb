"""Near and far have the same colours wherever depth is drawn."""

from __future__ import annotations

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
from little_scene import little_clip, little_prediction
from PIL import Image

from page4d.check.pictures import depth_picture
from page4d.viz.depth_colours import depth_colours, depth_norm, depth_span, depth_ticks
from page4d.viz.panels import Row, contact_sheet
from page4d.viz.viewer_data import ViewerOptions, viewer_data


def test_norm_is_even_in_inverse_depth() -> None:
    norm = depth_norm((1.0, 4.0))
    np.testing.assert_allclose(norm(np.array([0.5, 1, 1.6, 4, 9])), [0, 0, 0.5, 1, 1], atol=1e-12)
    np.testing.assert_allclose(norm.inverse(np.array([0, 0.5, 1])), [1, 1.6, 4])


def test_near_is_red_far_is_blue_and_nothing_is_grey() -> None:
    depth = np.array([[1.0, 4.0, 0.0]], np.float32)
    near, far, hole = depth_colours(depth, depth > 0, (1.0, 4.0))[0].astype(int)
    assert near[0] > 2 * near[2]
    assert far[2] > far[0]
    assert hole.tolist() == [0xD9, 0xD9, 0xD6]


def test_check_data_viewer_and_book_agree() -> None:
    """The same pixel of the same depth map has one colour in all three."""
    clip, prediction = little_clip(), little_prediction()
    span = depth_span(prediction.depth, prediction.depth > 0)
    wanted = depth_colours(prediction.depth, prediction.depth > 0, span)
    np.testing.assert_allclose(depth_picture(clip, 0, span).astype(int), wanted[0], atol=1)
    width = prediction.size_hw[1]
    strip = viewer_data(prediction, None, ViewerOptions(thumb_width=width))["strips"][1]
    assert re.fullmatch(r"depth z, red \S+ to blue \S+ .*", strip["label"])
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(strip["base64"]))))
    assert np.abs(drawn.astype(int) - np.concatenate(list(wanted), 1)).mean() < 6  # a JPEG
    figure = contact_sheet([Row(prediction.depth[:1], "depth", valid=prediction.depth[:1] > 0)])
    image = figure.axes[0].images[0]
    shown = image.cmap(image.norm(np.ma.getdata(image.get_array())), bytes=True)[..., :3]
    plt.close(figure)
    span = depth_span(prediction.depth[:1], prediction.depth[:1] > 0)
    one = depth_colours(prediction.depth[0], prediction.depth[0] > 0, span)
    np.testing.assert_allclose(shown.astype(int), one, atol=1)


def test_ticks_of_a_depth_bar_are_round_and_keep_apart() -> None:
    for span in ((0.5, 25.0), (1.0, 4.0), (0.02, 0.9), (3.0, 300.0)):
        ticks, norm = depth_ticks(span), depth_norm(span)
        places = np.array([float(norm(tick)) for tick in ticks])
        assert len(ticks) >= 2
        assert np.diff(places).min() > 0
        assert np.abs(np.diff(places)).min() >= 0.22
        assert [float(f"{tick:.2g}") for tick in ticks] == [round(tick, 6) for tick in ticks]
    np.testing.assert_allclose(depth_ticks((0.93, 0.97)), (0.93, 0.97))  # no round number inside: the ends are told
