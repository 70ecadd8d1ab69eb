"""Maps brought from a crop of the picture to the truth's pixels and back, and points measured there: closed forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from little_scene import little_prediction

from page4d.evaluate.points import CorrespondingPoints, aligned_clouds, point_errors, true_motion
from page4d.evaluate.registration import place_in
from page4d.evaluate.sequence import EvalSequence, MotionTruth
from page4d.schema import UserError

ORIGINAL_HW, TRUTH_HW = (24, 40), (12, 20)  # the truth has half of the picture's size


def test_a_crop_is_placed_where_it_was_cut() -> None:
    """Columns 8 to 32 and rows 4 to 20 of the picture became 6 x 4 pixels, each 2 x 2 of the truth's."""
    across, down = np.meshgrid(np.arange(6.0), np.arange(4.0))
    ramp = (1 + 3 * across + 50 * down).astype(np.float32)
    box = np.array([8.0, 4, 32, 20])
    placed, seen = place_in(ramp, box, np.array(ORIGINAL_HW), TRUTH_HW, cv2.INTER_LINEAR)
    columns, rows = np.arange(20), np.arange(12)
    inside = ((rows >= 2) & (rows < 10))[:, None] & (columns >= 4) & (columns < 16)
    # A truth pixel's centre in the input's pixels; beyond the outermost centres the map is continued.
    u, v = ((columns + 0.5 - 4) / 2 - 0.5).clip(0, 5), ((rows + 0.5 - 2) / 2 - 0.5).clip(0, 3)
    np.testing.assert_array_equal(seen, inside)
    np.testing.assert_allclose(placed, np.where(inside, 1 + 3 * u + 50 * v[:, None], 0), atol=1e-4)


@pytest.mark.parametrize(("left", "top"), [(-8, -6), (-6, -8)])
def test_what_moves_is_looked_up_under_each_pixel_and_unknown_in_the_padding(left: int, top: int) -> None:
    """13 x 9 pixels, each 4 x 4 of the picture's or 2 x 2 of the truth's, with padding on all sides."""
    box, size = np.array([[left, top, left + 52, top + 36.0]]), np.array([ORIGINAL_HW])
    prediction = replace(little_prediction(1, 9, 13), box_in_original=box, original_hw=size)
    rng = np.random.default_rng(0)
    truth = MotionTruth(rng.random(TRUTH_HW) < 0.5, rng.random(TRUTH_HW) < 0.8)
    sequence = EvalSequence("one", (Path("0.png"),), (0.0,), read_motion=lambda _: truth)
    expected = np.full((9, 13), -1)
    for y, row in enumerate(range(top // 2 + 1, 99, 2)):
        for x, column in enumerate(range(left // 2 + 1, 99, 2)):
            if 0 <= row < 12 and 0 <= column < 20 and truth.known[row, column]:
                expected[y, x] = truth.moving[row, column]
    np.testing.assert_array_equal(true_motion(sequence, Path("0.png"), (9, 13), prediction, 0), expected)
    unknown = true_motion(replace(sequence, read_motion=None), Path("0.png"), (9, 13), prediction, 0)
    assert (unknown == -1).all()


def test_truth_that_nothing_was_predicted_for_costs_completeness_alone() -> None:
    steps = np.concatenate((np.eye(3), -np.eye(3)))
    true = np.concatenate((np.zeros((1, 3)), steps, 5 * steps, 6 * steps))
    # The twelve far points are predicted in the middle, so that the fit of the others stays the identity.
    predicted = np.concatenate((true[:7], np.zeros((12, 3))))
    errors = point_errors(predicted, true)
    assert (errors.scale, errors.points) == (pytest.approx(1), 19)
    assert (errors.accuracy_mean, errors.accuracy_median) == pytest.approx((0, 0), abs=1e-9)
    assert (errors.completeness_mean, errors.completeness_median) == pytest.approx((6 * (4 + 5) / 19, 4))


@pytest.mark.parametrize("true", [np.eye(3)[:2], np.outer(np.arange(4.0), np.ones(3))])
def test_points_that_no_fit_is_made_of_are_refused(true: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"at least three|on one line"):
        point_errors(true, true)


def test_too_many_points_are_thinned_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("page4d.evaluate.points.MAX_POINTS", 300)
    true = np.random.default_rng(0).normal(0, 10, (900, 3))
    motion = np.repeat(np.array([1, 0, -1], np.int8), 300)
    predicted = true / 2
    predicted[:300] += np.random.default_rng(1).normal(0, 0.01, (300, 3))
    errors = point_errors(predicted, true, motion)
    assert (errors.points, errors.scale) == (300, pytest.approx(2, rel=1e-3))
    assert errors.accuracy_moving is not None
    assert errors.accuracy_still is not None
    assert errors.accuracy_moving > 5 * errors.accuracy_still
    thinned, scale = aligned_clouds(CorrespondingPoints(true / 2, true, motion))
    assert (len(thinned.true), scale) == (300, pytest.approx(2))
    np.testing.assert_allclose(thinned.predicted, thinned.true, atol=1e-9)
