"""Region and boundary measures of masks against shapes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from page4d.evaluate.mask_metrics import boundary_accuracy, mask_scores, outline
from page4d.result import iou


def square(size: int, top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_region_of_shifted_squares_is_the_closed_form() -> None:
    # Two 20 x 20 squares, 10 px apart: 200 common pixels of 600.
    assert iou(square(64, 10, 10, 20), square(64, 10, 20, 20)) == pytest.approx(200 / 600)
    assert iou(square(64, 0, 0, 5), square(64, 30, 30, 5)) == 0
    assert iou(np.zeros((8, 8), bool), np.zeros((8, 8), bool)) == 1


def test_outline_of_a_square_lies_on_its_edge() -> None:
    edge = outline(square(32, 8, 8, 10))
    # Seen from the pixel above and left of the change: rows and columns 7 and 17.
    assert set(np.flatnonzero(edge.any(1))) == set(range(7, 18))
    assert not edge[9:17, 9:17].any()
    assert not outline(np.ones((6, 6), bool)).any()


@pytest.mark.parametrize(("shift", "found"), [(0, True), (2, True), (3, False)])
def test_boundary_counts_within_the_tolerance(shift: int, found: bool) -> None:
    # A half plane in a picture of diagonal 181 px: the tolerance is ceil(1.45) = 2 px.
    true = np.zeros((128, 128), bool)
    true[:, :60] = True
    ours = np.zeros_like(true)
    ours[:, : 60 + shift] = True
    assert boundary_accuracy(ours, true) == pytest.approx(1.0 if found else 0.0)


def test_boundary_of_nothing() -> None:
    nothing, something = np.zeros((16, 16), bool), square(16, 4, 4, 6)
    assert boundary_accuracy(nothing, nothing) == 1
    assert boundary_accuracy(something, nothing) == 0
    assert boundary_accuracy(nothing, something) == 0


def test_boundary_is_the_harmonic_mean_of_its_parts() -> None:
    # Ours is the true square and a second one of equal size far away: precision 1/2, recall 1.
    true = square(128, 10, 10, 20)
    ours = true | square(128, 80, 80, 20)
    assert boundary_accuracy(ours, true) == pytest.approx(2 / 3)


def test_a_clip_is_the_mean_of_its_frames_and_ends_can_be_left_out() -> None:
    true = np.stack([square(64, 10, 10, 20)] * 4)
    ours = np.stack([np.zeros((64, 64), bool), true[1], square(64, 10, 20, 20), np.zeros((64, 64), bool)])
    whole, middle = mask_scores(ours, true), mask_scores(ours, true, skip_ends=True)
    assert whole.region_mean == pytest.approx((0 + 1 + 1 / 3 + 0) / 4)
    assert whole.region_recall == pytest.approx(1 / 4)
    assert middle.region_mean == pytest.approx((1 + 1 / 3) / 2)
    assert middle.region_recall == pytest.approx(1 / 2)
    perfect = mask_scores(true, true)
    assert (perfect.region_mean, perfect.region_recall, perfect.boundary_mean) == (1, 1, 1)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="expected two equal"):
        mask_scores(np.zeros((2, 4, 4), bool), np.zeros((2, 4, 5), bool))
    with pytest.raises(ValueError, match="no frame to score"):
        mask_scores(np.zeros((2, 4, 4), bool), np.zeros((2, 4, 4), bool), skip_ends=True)
