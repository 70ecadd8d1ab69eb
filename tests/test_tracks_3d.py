"""3-D track errors in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from page4d.evaluate.tracks_3d import scale_by_median, track_errors


def tracks(frames: int = 4, points: int = 6) -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 3, (frames, points, 3))


def test_perfect_tracks_score_perfect() -> None:
    true = tracks()
    seen = np.ones(true.shape[:2], bool)
    errors = track_errors(true, true, seen, seen)
    assert (errors.end_point_error, errors.average_points_within, errors.visibility_accuracy) == (0, 1, 1)
    assert errors.points == seen.size


def test_a_planted_offset_is_measured_and_lies_between_its_thresholds() -> None:
    true = tracks()
    seen = np.ones(true.shape[:2], bool)
    errors = track_errors(true + np.array([0.0, 0.4, 0.0]), true, seen)
    assert errors.end_point_error == pytest.approx(0.4)
    assert errors.within == (0, 0, 1, 1)
    assert errors.average_points_within == pytest.approx(0.5)
    assert math.isnan(errors.visibility_accuracy)


def test_a_point_at_a_threshold_is_not_within_it() -> None:
    true = np.zeros((1, 2, 3))
    errors = track_errors(true + np.array([0.0, 0.0, 0.5]), true, np.ones((1, 2), bool))
    assert errors.within == (0, 0, 0, 1)


def test_hidden_points_count_for_visibility_only() -> None:
    true = tracks()
    seen = np.ones(true.shape[:2], bool)
    seen[:, 0] = False
    wrong = true.copy()
    wrong[:, 0] += 100
    errors = track_errors(wrong, true, seen, np.ones_like(seen))
    assert errors.end_point_error == 0
    assert errors.visibility_accuracy == pytest.approx(5 / 6)


def test_what_is_not_finite_is_infinitely_far_away() -> None:
    true = tracks()
    seen = np.ones(true.shape[:2], bool)
    broken = true.copy()
    broken[0, 0] = np.nan
    errors = track_errors(broken, true, seen)
    assert errors.end_point_error == math.inf
    assert errors.within[-1] == pytest.approx(1 - 1 / seen.size)


def test_one_scale_for_the_clip_by_the_median() -> None:
    true = tracks()
    seen = np.ones(true.shape[:2], bool)
    predicted = true / 2.5
    predicted[0, 0] *= 100
    assert scale_by_median(predicted, true, seen) == pytest.approx(2.5)
    with pytest.raises(ValueError, match="no scale can be found"):
        scale_by_median(np.full_like(true, np.nan), true, seen)


def test_the_scale_is_of_visible_points_away_from_the_camera() -> None:
    true = tracks(1, 5)
    predicted = true / 2.5
    predicted[0, :2] = 0  # in the camera's centre: no ratio, and most of those seen
    predicted[0, 3:] *= 7
    seen = np.array([[True, True, True, False, False]])
    assert scale_by_median(predicted, true, seen) == pytest.approx(2.5)


def test_shapes_and_emptiness_are_refused() -> None:
    true = tracks()
    with pytest.raises(ValueError, match="expected"):
        track_errors(true[:, :2], true, np.ones(true.shape[:2], bool))
    with pytest.raises(ValueError, match="no point is visible"):
        track_errors(true, true, np.zeros(true.shape[:2], bool))
