"""Answers that need no network: what they are, and that they read nothing of the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from page4d.evaluate.exact_scores import ExactTruth, score
from page4d.evaluate.exam import marking_rows, truth_of
from page4d.evaluate.pose_auc import relative_poses
from page4d.evaluate.yardsticks import (
    GUESSES,
    MARKINGS,
    YARDSTICK_TITLES,
    classical_pairs,
    guesses,
    moving_places,
    row_profile,
    two_view_pose,
)
from page4d.world import WORLD_VERSION, Batch, render_batch, split_config, split_seeds


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Still scenes seen by a moving camera, so that geometry explains every pixel."""
    config = split_config("static-train", height=112, width=112, frames=3)
    return render_batch(split_seeds("static-train", 4), config)


def test_guesses_know_nothing_of_the_clip(batch: Batch) -> None:
    truth = truth_of(batch)
    other = ExactTruth(
        truth.cam_from_world.flip(0), 1 + truth.depth.flip(0), truth.valid.flip(0), torch.ones_like(truth.valid)
    )
    for ours, theirs in zip(guesses(truth).values(), guesses(other).values(), strict=True):
        for one, two in ((ours.depth, theirs.depth), (ours.cam_from_world, theirs.cam_from_world)):
            assert (one is None and two is None) or torch.equal(one, two)


def test_a_guess_speaks_of_what_its_row_says_and_has_a_title(batch: Batch) -> None:
    answers = guesses(truth_of(batch))
    assert answers.keys() == GUESSES.keys()
    for name, guess in GUESSES.items():
        said = {"depth": answers[name].depth is not None, "cameras": answers[name].cam_from_world is not None}
        assert [about for about, given in said.items() if given] == [guess.about], name
        assert YARDSTICK_TITLES[name] == guess.title


def test_markings_see_one_frame_at_a_time_at_most_and_have_titles(batch: Batch) -> None:
    images = batch.images[0]
    for name, marking in MARKINGS.items():
        marks = marking.marks(images, WORLD_VERSION)
        assert marks.shape == images[:, 0].shape, name
        for frame, alone in enumerate(images):
            assert torch.equal(marks[frame], marking.marks(alone[None], WORLD_VERSION)[0]), name
        assert YARDSTICK_TITLES[name] == marking.title
    assert moving_places().shape == (48, 48)
    assert 0 < moving_places().min() < moving_places().max() < 1


def test_a_dark_thing_is_marked_by_darkness_and_a_bright_one_is_not(batch: Batch) -> None:
    moving = torch.zeros_like(batch.moving)
    moving[:, :, 32:64, 40:72] = True
    for paint, expected in ((0.0, 1.0), (1.0, 0.0)):
        images = torch.where(moving[:, :, None] > 0, paint, batch.images.clamp(0.1, 0.9))
        rows = marking_rows(MARKINGS["dark"], replace(batch, images=images, moving=moving), 8, WORLD_VERSION)
        assert [row["geometric_auc"] for row in rows] == [expected] * 4
        assert [row["mask_auc"] for row in rows] == [expected] * 4


def test_scores_of_guesses(batch: Batch) -> None:
    truth = truth_of(batch)
    found = {name: score(answer, truth) for name, answer in guesses(truth).items()}
    assert torch.allclose(found["constant"].abs_rel, found["constant"].abs_rel_constant)
    still = found["still"]
    torch.testing.assert_close(still.relative_rotation, still.relative_rotation_identity)
    assert (still.direction == 90).all(), "a still camera says no direction"
    assert still.auc_30.max() == 0
    torch.testing.assert_close(found["line"].relative_rotation, still.relative_rotation)
    assert 30 < found["random"].direction.mean() < 150
    assert found["rows"].relative_rotation.isnan().all()


def test_a_camera_that_moves_straight_ahead_is_the_straight_line() -> None:
    cameras = torch.eye(3, 4).double().repeat(1, 9, 1, 1)
    cameras[0, :, 2, 3] = -0.1 * torch.arange(9)
    truth = ExactTruth(cameras, torch.ones(1, 9, 4, 4), torch.ones(1, 9, 4, 4, dtype=torch.bool))
    line = score(guesses(truth)["line"], truth)
    assert line.direction.item() == pytest.approx(0, abs=1e-5)
    assert line.auc_3.item() == pytest.approx(1)
    assert line.ate.item() == pytest.approx(0, abs=1e-6)
    sideways = cameras.clone()
    sideways[..., [0, 2], 3] = sideways[..., [2, 0], 3]
    turned = ExactTruth(sideways, truth.depth, truth.valid)
    assert score(guesses(turned)["line"], turned).direction.item() == pytest.approx(90)
    assert score(guesses(turned)["line"], turned).ate.item() == pytest.approx(0, abs=1e-6), "any line is any other"


def test_the_usual_row_is_nearer_below_than_in_the_middle() -> None:
    profile = row_profile()
    assert profile.shape == (48,)
    assert profile.isfinite().all()
    assert profile[-4:].mean() < profile[16:32].mean()


def test_classical_poses_of_a_still_world_are_close(batch: Batch) -> None:
    scores = score(classical_pairs(batch.images, batch.K), truth_of(batch))
    assert scores.relative_rotation.median() < 0.5
    assert scores.direction.median() < 5
    assert scores.abs_rel.isnan().all()


def test_two_views_tell_where_the_second_camera_stands_in_the_first(batch: Batch) -> None:
    grey = (batch.images[0, 0].mean(0) * 255).byte().numpy()
    nothing = two_view_pose(grey, np.zeros_like(grey), batch.K[0, 0].numpy(), batch.K[0, 1].numpy())
    assert np.isfinite(nothing).all()
    pose = classical_pairs(batch.images[:1], batch.K[:1]).first_from_second
    assert pose is not None
    true = relative_poses(batch.cam_from_world[:1].double())
    angle = torch.nn.functional.cosine_similarity(pose[0, :, :, 3], true[0, :, :, 3], dim=-1)
    assert angle.min() > 0.95, "and not the other way round"
