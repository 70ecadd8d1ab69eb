"""Long films in windows: joins under planted errors, odd films, and what is said when windows do not fit."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from little_scene import little_prediction

from page4d.geometry import Similarity, rotation_angle_deg, world_points
from page4d.result.exact import prediction_from_clip
from page4d.result.placed import moved
from page4d.result.planted_errors import PlantedErrors, plant_errors
from page4d.schema import Prediction
from page4d.viz import joins_figure
from page4d.windows import Join, Joiner, Windows, join_of, join_windows
from page4d.world import split_clip

LONG = 1000
NOT_SEEN = np.float32(1.0)


@pytest.fixture(scope="module")
def long_walk() -> Prediction:
    """1,000 frames of exact truth, without point maps."""
    exact = prediction_from_clip(split_clip("static-test", 0, frames=LONG, height=48, width=64))
    return replace(exact, points=None, points_conf=None)


def metre(part: Prediction, exact: Prediction) -> float:
    """How long a metre of the truth is in a prediction of the same frames."""
    seen = exact.depth > 0
    return float(np.median(part.depth[seen] / exact.depth[seen]))


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("noise", "outliers", "within"),
    [pytest.param(0.0, 0.0, 1e-4, marks=SLOW), (0.02, 0.01, 0.01), pytest.param(0.1, 0.05, 0.03, marks=SLOW)],
)
def test_scale_holds_over_a_thousand_frames(
    long_walk: Prediction, noise: float, outliers: float, within: float
) -> None:
    """Every window has its own scale, noise, and outliers five times too far; least squares end at 0.000 here."""
    rng = np.random.default_rng(0)
    windows, errors = Windows(32, 4), PlantedErrors(noise, outliers)
    joiner = Joiner(windows.frames)
    ends = []
    for start in windows.starts(LONG):
        part = plant_errors(long_walk[start : start + 32], errors, rng)
        new = joiner.add(part, start)
        end = start + len(part)
        ends.append(metre(new, long_walk[end - len(new) : end]))
    assert max(ends) / min(ends) - 1 < 2 * within
    assert abs(ends[-1] / ends[0] - 1) < within
    assert {join.by for join in joiner.joins} == {"points"}


def parts_of(exact: Prediction, windows: Windows, errors: PlantedErrors) -> tuple[list[Prediction], list[int]]:
    rng = np.random.default_rng(1)
    starts = windows.starts(len(exact))
    return [plant_errors(exact[i : i + windows.frames], errors, rng) for i in starts], starts


def test_poses_and_points_agree_after_a_join() -> None:
    exact = little_prediction(9)
    parts, starts = parts_of(exact, Windows(4, 2), PlantedErrors(0.02, 0.01))
    joined = join_windows(parts, starts, {})
    depth, K, pose = (torch.from_numpy(a).double() for a in (joined.depth, joined.K, joined.cam_from_world))
    lifted = world_points(depth, K, pose).numpy()
    assert joined.points is not None
    np.testing.assert_allclose(joined.points, lifted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("total", range(1, 14))
def test_no_frame_is_lost_and_none_doubled(total: int) -> None:
    exact = little_prediction(total, height=12, width=16)
    parts, starts = parts_of(exact, Windows(5, 2), PlantedErrors(0, 0))
    joined = join_windows(parts, starts, {})
    assert joined.frame_names == exact.frame_names
    scale = metre(joined, exact)
    np.testing.assert_allclose(joined.depth, scale * exact.depth, rtol=1e-4)


def test_a_camera_that_stands_still() -> None:
    exact = little_prediction(10)
    exact = replace(exact, cam_from_world=np.repeat(exact.cam_from_world[:1], 10, axis=0))
    parts, starts = parts_of(exact, Windows(4, 1), PlantedErrors(0.02, 0.01))
    joined = join_windows(parts, starts, {})
    assert abs(metre(joined[-2:], exact[-2:]) / metre(joined[:2], exact[:2]) - 1) < 0.01
    moved_by = np.linalg.norm(joined.cam_from_world[:, :, 3], axis=1)
    assert moved_by.max() < 0.02 * np.median(joined.depth)


def test_only_moving_pixels() -> None:
    """A shared frame is the same instant, so it joins windows even where nothing in it stands still."""
    exact = little_prediction(10)
    rng = np.random.default_rng(5)
    depth = exact.depth * rng.uniform(0.5, 2, (10, 1, 1)).astype(np.float32)  # the whole picture comes and goes
    exact = replace(exact, depth=depth, points=None, points_conf=None)
    parts, starts = parts_of(exact, Windows(4, 1), PlantedErrors(0, 0))
    joined = join_windows(parts, starts, {})
    scale = metre(joined[:4], exact[:4])
    np.testing.assert_allclose(joined.depth, scale * exact.depth, rtol=1e-3)


def pair(scale: float = 0.5) -> tuple[Prediction, Prediction]:
    """Two exact windows of the same frames, the second of another scale."""
    exact = little_prediction(2)
    exact.depth_conf[:] = 1 + np.linspace(0, 1, exact.depth.size, dtype=np.float32).reshape(exact.depth.shape)
    errors = PlantedErrors(0, 0, scales=(scale, scale))
    return replace(exact, depth_conf=exact.depth_conf.copy()), plant_errors(exact, errors, np.random.default_rng(0))


@pytest.mark.parametrize("liar", [0, 1])
def test_a_pixel_counts_only_if_both_windows_are_confident(liar: int) -> None:
    """60 % of the pixels are wrong the same way: only the less confident of both confidences shows them."""
    before, part = pair()
    wrong = np.arange(before.depth.size).reshape(before.depth.shape) % 5 < 3
    confidence = np.where(wrong, NOT_SEEN, np.float32(3.0))
    pairs = [before, part]
    sure = np.full_like(confidence, 3.0)
    pairs[liar] = replace(
        pairs[liar], depth=np.where(wrong, 3 * pairs[liar].depth, pairs[liar].depth), depth_conf=confidence
    )
    pairs[1 - liar] = replace(pairs[1 - liar], depth_conf=sure)
    assert float(join_of(pairs[0], pairs[1]).similarity.scale) == pytest.approx(2.0, rel=1e-4)


def test_the_less_confident_half_is_left_out() -> None:
    """45 % of the pixels are far too deep and hardly less sure: by weight alone they would shift the median by 3 %."""
    before, part = pair()
    rng = np.random.default_rng(0)
    wrong = rng.random(part.depth.shape) < 0.45
    factor = np.where(wrong, 3.0, rng.uniform(0.96, 1.04, part.depth.shape)).astype(np.float32)
    confidence = np.where(wrong, 2.9, 3.0).astype(np.float32)
    part = replace(part, depth=part.depth * factor, depth_conf=confidence)
    found = join_of(replace(before, depth_conf=confidence), part)
    assert float(found.similarity.scale) == pytest.approx(2.0, rel=0.005)


def test_nan_confidence_is_no_confidence() -> None:
    before, part = pair()
    wrong = np.arange(before.depth.size).reshape(before.depth.shape) % 5 < 3
    part = replace(
        part,
        depth=np.where(wrong, 4 * part.depth, part.depth),
        depth_conf=np.where(wrong, np.float32(np.nan), part.depth_conf),
    )
    assert float(join_of(before, part).similarity.scale) == pytest.approx(2.0, rel=1e-4)


def test_depth_that_is_not_finite_is_left_out() -> None:
    before, part = pair()
    part.depth[:, ::2] = np.inf
    before.depth[:, :, ::2] = np.nan
    found = join_of(before, part)
    assert float(found.similarity.scale) == pytest.approx(2.0, rel=1e-4)
    assert found.agreement == 1


def test_where_points_disagree_cameras_join_and_it_is_said() -> None:
    exact = little_prediction(7)
    parts, starts = parts_of(exact, Windows(4, 1), PlantedErrors(0, 0, scales=(1, 1)))
    rng = np.random.default_rng(2)
    nonsense = np.exp(rng.normal(0, 3, parts[1].depth.shape)).astype(np.float32)
    parts[1] = replace(parts[1], depth=parts[1].depth * nonsense)
    with pytest.warns(
        UserWarning, match=r"1 of 1 windows fit badly .*; 1 of them by their cameras alone.*% of depth apart"
    ):
        joined = join_windows(parts, starts, {})
    (record,) = joined.meta["joins"]
    assert record["by"] == "cameras"
    # The one shared frame's camera says how the windows are turned, whatever the points say.
    found, true = (torch.from_numpy(p.cam_from_world[:, :, :3]).double() for p in (joined, exact))
    angle = rotation_angle_deg(found @ true.mT)
    assert float(angle.max()) < 0.1


def test_windows_without_a_common_depth_join_by_their_cameras() -> None:
    exact = little_prediction(2)
    dark = replace(exact, depth=np.zeros_like(exact.depth), points=None, points_conf=None)
    found = join_of(exact, dark)
    assert (found.by, found.agreement, float(found.similarity.scale)) == ("cameras", 0.0, 1.0)
    assert np.isnan(found.residual)


def test_good_joins_say_nothing() -> None:
    exact = little_prediction(9)
    parts, starts = parts_of(exact, Windows(4, 2), PlantedErrors(0.02, 0.01))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        joined = join_windows(parts, starts, {})
    assert all(record["residual"] < 0.03 for record in joined.meta["joins"])


def test_a_joiner_goes_on_where_another_stopped() -> None:
    exact = little_prediction(12)
    windows = Windows(5, 2)
    parts, starts = parts_of(exact, windows, PlantedErrors(0.02, 0.01))
    first = Joiner(windows.frames)
    whole = [first.add(part, start) for part, start in zip(parts, starts, strict=True)]
    second = Joiner(windows.frames)
    known = join_windows(parts[:2], starts[:2], {})
    second.resume(known, len(known))
    for part, start, expected in zip(parts[2:], starts[2:], whole[2:], strict=True):
        np.testing.assert_array_equal(second.add(part, start).depth, expected.depth)


def test_moved_turns_cameras_with_the_points() -> None:
    exact = little_prediction(2)
    angle = torch.tensor(0.3, dtype=torch.float64)
    rotation = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]])
    similarity = Similarity(torch.tensor(2.0).double(), rotation.double(), torch.tensor([1.0, 2, 3]).double())
    other = moved(exact, similarity)
    depth, K, pose = (torch.from_numpy(a).double() for a in (other.depth, other.K, other.cam_from_world))
    assert other.points is not None
    seen = exact.depth > 0
    np.testing.assert_allclose(world_points(depth, K, pose).numpy()[seen], other.points[seen], atol=1e-4)


def test_the_figure_of_joins() -> None:
    curve = {"frames": [8, 16], "scale": [1.0, 0.0], "place": [0.0, 0.1]}
    row = {"frames": 16, "depth_noise": 0.02, "outliers": 0.01, "seed": 0, "end_scale": 0.5}
    figure = joins_figure([row | {"join": "plain", "curve": curve}, row | {"join": "robust", "curve": curve}])
    left, middle, right = figure.axes
    assert left.get_ylabel() == middle.get_ylabel() == "scale against the start"
    assert len(middle.lines) == len(right.lines) == 2


def test_a_join_is_recorded_in_numbers() -> None:
    one = Similarity(torch.tensor(2.0), torch.eye(3), torch.zeros(3))
    record = Join(28, one, 0.0123456789, 0.5, "points").record()
    assert record == {"start": 28, "by": "points", "scale": 2.0, "residual": 0.012346, "agreement": 0.5}


def test_a_kept_join_keeps_no_points() -> None:
    """A number that is a view of all depth ratios would keep them for as long as the film's joins are kept."""
    part = little_prediction(3, still=True)
    similarity = join_of(part, part).similarity
    for value in (similarity.scale, similarity.rotation, similarity.translation):
        assert value.untyped_storage().nbytes() <= 9 * 8
