"""Pictures for chapters, and the quick comparison with a clip's truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from page4d.data.views import open_views
from page4d.evaluate.exact_scores import ClipScores, mean_scores, score_clip
from page4d.geometry import quaternion_to_matrix, relative_to_first
from page4d.result.exact import prediction_from_clip
from page4d.schema import Clip, UserError


@pytest.fixture(scope="module")
def clip() -> Clip:
    truth = open_views("synthetic:2", size=32, patch=8, frames=3).truth
    assert truth is not None
    return truth


def test_synthetic_views_are_the_named_clip(clip: Clip) -> None:
    views = open_views("synthetic:2", size=32, patch=8, frames=3)
    assert views.frames.images.shape == (3, 3, 32, 32)
    assert torch.equal(views.frames.images, clip.images)
    assert views.frames.names == ("frame_0000", "frame_0001", "frame_0002")
    first = open_views("synthetic", size=32, patch=8).truth
    assert first is not None
    assert first.name == "dynamic-test-000000"


def test_a_folder_gives_its_first_pictures_and_no_truth(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (64, 48), (i, 0, 0)).save(tmp_path / f"{i}.png")
    views = open_views(tmp_path, size=32, patch=8, frames=2)
    assert views.truth is None
    assert views.frames.images.shape == (2, 3, 24, 32)
    assert views.frames.names == ("0.png", "1.png")


@pytest.mark.parametrize(
    ("source", "size", "message"),
    [("no/such/folder", 32, "no/such/folder"), ("synthetic", 30, "size 30 is not a multiple of the patch size 8")],
)
def test_bad_sources_are_the_users_errors(source: str, size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_views(source, size=size, patch=8)


def test_the_truth_has_no_errors(clip: Clip) -> None:
    errors = score_clip(prediction_from_clip(clip), clip)
    assert errors.abs_rel == pytest.approx(0, abs=1e-6)
    assert errors.rotation_deg == pytest.approx(0, abs=1e-3)
    assert errors.direction_deg == pytest.approx(0, abs=1e-2)
    assert errors.abs_rel_constant > 0.1


def test_errors_have_their_closed_form(clip: Clip) -> None:
    exact = prediction_from_clip(clip)
    turn = quaternion_to_matrix(torch.tensor([0.0, 0.0, np.sin(np.radians(5)), np.cos(np.radians(5))]))
    turned = exact.cam_from_world.copy()
    turned[1:] = turn.numpy() @ turned[1:]  # 10 degrees about the viewing axis; the centres stay
    errors = score_clip(replace(exact, cam_from_world=turned, depth=3 * exact.depth), clip)
    assert errors.rotation_deg == pytest.approx(10, abs=1e-3)
    assert errors.direction_deg == pytest.approx(0, abs=1e-2)
    assert errors.abs_rel == pytest.approx(0, abs=1e-6)


def test_a_still_prediction_gets_the_baseline_and_a_mirrored_one_180_degrees(clip: Clip) -> None:
    exact = prediction_from_clip(clip)
    still = np.tile(np.eye(3, 4, dtype=np.float32), (len(clip), 1, 1))
    errors = score_clip(replace(exact, cam_from_world=still), clip)
    assert errors.rotation_deg == pytest.approx(errors.rotation_deg_still, rel=1e-4)
    assert errors.direction_deg == 90, "no motion is no direction, and by no means the right one"
    mirrored = exact.cam_from_world.copy()
    mirrored[..., 3] *= -1
    assert score_clip(replace(exact, cam_from_world=mirrored), clip).direction_deg == pytest.approx(180, abs=1e-2)


def test_a_standing_camera_has_no_direction_and_does_not_count_in_the_mean(clip: Clip) -> None:
    pose = relative_to_first(clip.cam_from_world)
    pose[..., 3] = 0
    standing = replace(clip, cam_from_world=pose)
    errors = score_clip(prediction_from_clip(standing), standing)
    assert np.isnan(errors.direction_deg)
    mean = mean_scores([errors, ClipScores(1, 1, 1, 1, 40)])
    assert mean.direction_deg == 40
