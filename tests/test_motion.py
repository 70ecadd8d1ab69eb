"""Moving masks: exact geometry must give nearly the exact mask; a still world must give none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from little_scene import little_clip, little_prediction

from page4d.inference import predict
from page4d.model import PAGE4D
from page4d.result.exact import prediction_from_clip
from page4d.result.motion import (
    DEFAULT_METHOD,
    MotionOptions,
    clean_mask,
    geometric_score,
    iou,
    measured_flow,
    model_score,
    moving_auc,
    moving_mask,
)
from page4d.schema import UserError
from page4d.world import split_clip


def test_still_world_has_nothing_moving() -> None:
    assert moving_mask(little_prediction(still=True)).mean() < 0.002


def test_sliding_body_is_found() -> None:
    clip = little_clip(6, 72, 96)
    assert clip.moving is not None
    truth = clip.moving.numpy()
    prediction = prediction_from_clip(clip)
    assert moving_auc(geometric_score(prediction), truth) > 0.97
    assert iou(moving_mask(prediction), truth) > 0.6


def test_depth_alone_finds_bodies_of_the_synthetic_world() -> None:
    """With exact depth and poses what is missed never uncovers anything or stays below the tolerance: so a low score
    on a network's prediction is the network's doing. Without flow the score is a pure consistency check.
    """
    found = []
    for index in range(3):
        clip = split_clip("dynamic-val", index, height=56, width=56, frames=8)
        assert clip.moving is not None
        exact, moving = prediction_from_clip(clip), clip.moving.numpy()
        depth_alone = geometric_score(exact, MotionOptions(use_flow=False))
        found.append((moving_auc(depth_alone, moving), moving_auc(geometric_score(exact), moving)))
    assert np.mean(found, 0).min() > 0.85, found


def test_pixels_that_are_alike_answer_together() -> None:
    """What neither depth nor flow can say of a pixel, its neighbours of the same body say."""
    found = []
    for index in range(3):
        clip = split_clip("dynamic-val", index, height=56, width=56, frames=4)
        assert clip.moving is not None
        exact, moving = prediction_from_clip(clip), clip.moving.numpy()
        alone, together = MotionOptions(reach=0), MotionOptions()
        scores = [moving_auc(geometric_score(exact, options), moving) for options in (alone, together)]
        overlaps = [iou(moving_mask(exact, options=options), moving) for options in (alone, together)]
        found.append((scores[1] - scores[0], overlaps[1] - overlaps[0]))
    assert np.mean(found, 0).min() > 0.02, found


def test_scale_of_the_scene_does_not_matter() -> None:
    prediction = little_prediction()
    pose = prediction.cam_from_world.copy()
    pose[:, :, 3] *= 7
    larger = replace(prediction, depth=prediction.depth * 7, cam_from_world=pose)
    np.testing.assert_allclose(geometric_score(larger), geometric_score(prediction), atol=1e-3)


def test_noise_of_the_depth_is_not_motion() -> None:
    prediction = little_prediction(still=True)
    noise = np.exp(np.random.default_rng(0).normal(scale=0.08, size=prediction.depth.shape))
    noisy = replace(prediction, depth=(prediction.depth * noise).astype(np.float32))
    tolerant = geometric_score(noisy, MotionOptions(use_flow=False)) > 1
    strict = geometric_score(noisy, MotionOptions(use_flow=False, noise_factor=0)) > 1
    assert tolerant.mean() < 0.3 * strict.mean()


def test_model_mask_is_minus_m_at_pixels() -> None:
    m = np.full((4, 3, 4), 0.2, np.float32)
    m[1, 2, 3] = -0.4
    prediction = replace(little_prediction(), mask=m)
    score = model_score(prediction)
    assert score.shape == prediction.depth.shape
    assert score[1, -1, -1] == pytest.approx(0.4)
    assert score[0].max() == pytest.approx(-0.2)
    mask = moving_mask(prediction, "model")
    assert mask[1, -1, -1]
    assert not mask[[0, 2, 3]].any()


def test_automatic_choice_depends_on_the_mask() -> None:
    prediction = little_prediction()
    np.testing.assert_array_equal(moving_mask(prediction), moving_mask(prediction, "geometric"))
    masked = replace(prediction, mask=np.full((4, 3, 4), -0.1, np.float32))
    np.testing.assert_array_equal(moving_mask(masked), moving_mask(masked, DEFAULT_METHOD))
    assert moving_mask(masked, "model").all()


@pytest.mark.slow
def test_the_default_method_finds_what_moves() -> None:
    """On predictions of a built-in network the default tells moving pixels from still ones far better than chance.

    The mask of page4d-tiny-mask is no rival to choose a default by: true motion taught it, which no released mask knew.
    """
    assert DEFAULT_METHOD == "geometric"
    model = PAGE4D.from_pretrained("page4d-tiny")
    size, found = model.config.img_size, []
    for index in range(16):
        clip = split_clip("dynamic-val", index, height=size, width=size, frames=6)
        assert clip.moving is not None
        found.append(moving_auc(geometric_score(predict(model, clip.images)), clip.moving.numpy()))
    kept = np.array(found)[np.isfinite(found)]
    assert len(kept) > 8
    means = np.random.default_rng(0).choice(kept, (2000, len(kept))).mean(1)
    assert np.quantile(means, 0.025) > 0.8, f"mean AUC {kept.mean():.3f}"


def test_clean_mask_drops_specks_and_closes_holes() -> None:
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 2, 2] = True
    mask[0, 8:14, 8:14] = True
    mask[0, 10, 10] = False
    cleaned = clean_mask(mask, 0.01)
    assert not cleaned[0, 2, 2]
    assert cleaned[0, 8:14, 8:14].all()
    assert cleaned.sum() == 36


def test_iou_by_hand() -> None:
    a, b = np.zeros((1, 2, 4), bool), np.zeros((1, 2, 4), bool)
    a[0, 0], b[0, :, :2] = True, True
    assert iou(a, b) == pytest.approx(2 / 6)
    assert iou(np.zeros_like(a), np.zeros_like(a)) == 1
    with pytest.raises(ValueError, match="differ"):
        iou(a, b[:, :1])


def test_bad_input() -> None:
    one = little_prediction(1)
    assert not moving_mask(one).any()
    with pytest.raises(UserError, match="one frame"):
        moving_mask(one, "geometric")
    with pytest.raises(UserError, match="has no mask"):
        moving_mask(one, "model")
    with pytest.raises(UserError, match="choose one of"):
        moving_mask(one, "magic")
    with pytest.raises(UserError, match="offsets"):
        MotionOptions(offsets=(0,))
    with pytest.raises(UserError, match="reach is 2, expected a share"):
        MotionOptions(reach=2)


@pytest.mark.parametrize("finest_scale", [0, 1])
@pytest.mark.parametrize("size", [(8, 112), (112, 8), (1, 518), (8, 8), (4, 3)])
def test_pictures_of_one_patch_have_a_flow(size: tuple[int, int], finest_scale: int) -> None:
    """OpenCV's search alone ended the process at 8 x 112 px, which a panorama becomes for a small network."""
    random = np.random.default_rng(0)
    picture = random.integers(0, 255, size, dtype=np.uint8)
    flow, reliable = measured_flow(picture, picture, finest_scale)
    assert flow.shape == (*size, 2)
    assert reliable.all()
    assert float(flow.abs().max()) < 0.01
