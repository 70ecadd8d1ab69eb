"""Arrays of whole numbers, of other byte orders and masks of numbers: right or refused, never something else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from little_scene import little_prediction

from page4d.evaluate import DepthOptions, depth_errors, error_map, mask_scores, sparsification
from page4d.geometry import (
    closed_form_inverse_se3,
    fit_similarity,
    pose_encoding_to_extri_intri,
    resize_intrinsics,
    rotation_angle_deg,
    unproject_depth_map_to_point_map,
)
from page4d.result import followed, iou, moving_auc, patches_moving, scale_from_depth
from page4d.result.cloud import check_moving
from page4d.result.exports.options import ExportOptions
from page4d.schema import UserError

ALIGNMENTS = ("median", "scale", "l1_scale", "l1_scale_shift", "lad2_video", "metric")
RNG = np.random.default_rng(0)
MASK = RNG.uniform(size=(4, 28, 28)) > 0.5


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("kind", ["int32", "uint16", ">f4", "float16"])
def test_depth_of_any_kind_scores_as_the_same_depth_in_floats(alignment: str, kind: str) -> None:
    steps = RNG.integers(300, 900, (2, 6, 7))
    truth = 0.004 * steps + RNG.uniform(0, 0.1, steps.shape)
    options = DepthOptions(alignment, max_depth=None)
    exact, given = depth_errors(steps.astype(np.float64), truth, options), steps.astype(kind)
    found = depth_errors(given, truth, options)
    assert found.abs_rel == pytest.approx(exact.abs_rel, rel=1e-3)
    assert exact.fit is not None
    expected = error_map(steps.astype(np.float64), truth, exact.fit, options)
    assert error_map(given, truth, exact.fit, options) == pytest.approx(expected, abs=1e-3)


def test_whole_numbers_in_geometry_are_numbers_with_fractions() -> None:
    corners = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert float(fit_similarity(2 * corners, 3 * corners).scale) == pytest.approx(1.5)
    K = torch.tensor([[501, 0, 320], [0, 401, 240], [0, 0, 1]])
    assert resize_intrinsics(K, 0.5, 0.5).tolist() == [[250.5, 0, 159.75], [0, 200.5, 119.75], [0, 0, 1]]
    assert float(rotation_angle_deg(torch.tensor([[0, -1, 0], [1, 0, 0], [0, 0, 1]]))) == pytest.approx(90)
    encoding = torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1, 1]])
    of_whole, of_real = (pose_encoding_to_extri_intri(e, (10, 12))[1] for e in (encoding, encoding.float()))
    assert of_whole is not None
    assert of_whole.tolist() == of_real.tolist()


@pytest.mark.parametrize("kind", [">f8", "<f4", "i4", "u2"])
def test_functions_under_vggts_names_take_numpys_arrays_of_any_kind(kind: str) -> None:
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[:, 0, 3] = (1, 2)
    inverse = closed_form_inverse_se3(poses.astype(kind)[::-1])
    assert inverse[:, 0, 3].tolist() == [-2, -1]
    K = np.tile([[2, 0, 1], [0, 2, 1], [0, 0, 1]], (2, 1, 1)).astype(kind)
    points = unproject_depth_map_to_point_map(np.full((2, 3, 3), 3).astype(kind), poses.astype(kind), K)
    assert points[1, 0, 0].tolist() == [-3.5, -1.5, 3]
    with pytest.raises(ValueError, match=r"\(4, 4\), expected \(N, 3, 4\) or \(N, 4, 4\)"):
        closed_form_inverse_se3(np.eye(4))


@pytest.mark.parametrize(("kind", "true"), [("u1", 1), ("u1", 255), ("i8", 255), ("f4", 1)])
def test_a_mask_of_a_picture_is_the_mask(kind: str, true: int) -> None:
    given = MASK.astype(kind) * np.dtype(kind).type(true)
    values, other = RNG.uniform(size=MASK.shape), np.roll(MASK, 3, -1)
    assert iou(given, other) == iou(MASK, other)
    assert moving_auc(values, given) == moving_auc(values, MASK)
    assert (patches_moving(given, 14, 14, 0.25) == patches_moving(MASK, 14, 14, 0.25)).all()
    assert mask_scores(given, other).region_mean == mask_scores(MASK, other).region_mean
    options = DepthOptions(max_depth=None)
    truth = 1 + values
    assert depth_errors(truth**2, truth, options, given) == depth_errors(truth**2, truth, options, MASK)
    images = RNG.integers(0, 255, (*MASK.shape, 3)).astype(np.uint8)
    assert len(followed(images, given)) == len(followed(images, MASK))
    prediction = little_prediction(len(MASK), 28, 28)
    assert (check_moving(prediction, given) == MASK).all()
    written = ExportOptions(size="input", moving=given).moving_mask(prediction, 1)
    assert written.dtype == bool
    assert (written == MASK[1]).all()


def test_a_mask_of_fractions_is_refused() -> None:
    evidence = np.where(MASK, -0.25, 0.25)
    with pytest.raises(ValueError, match="mask_scores: a mask of float64, expected bool; compare"):
        mask_scores(evidence, MASK)
    with pytest.raises(ValueError, match="iou: a mask of float64"):
        iou(MASK, evidence)


def test_confidence_of_small_whole_numbers_orders_as_it_says() -> None:
    error, confidence = np.array([4.0, 3, 2, 1]), np.array([0, 1, 2, 255])
    assert sparsification(error, confidence.astype(np.uint8)).ause == pytest.approx(0)
    assert sparsification(error, confidence > 1).ause == sparsification(error, 1.0 * (confidence > 1)).ause


def test_sensor_depth_is_of_a_frame_and_in_metres() -> None:
    prediction = little_prediction(2, 28, 28)
    for frame in (-1, 2):
        with pytest.raises(UserError, match=f"no frame {frame}; frames are 0 to 1"):
            scale_from_depth(prediction, {frame: np.ones((28, 28), np.float32)})
    with pytest.raises(UserError, match="frame 0 is uint16"):
        scale_from_depth(prediction, {0: np.full((28, 28), 1000, np.uint16)})
