"""Bundle adjustment: exact sightings give exact cameras back, flow on pictures nearly."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from page4d.cli import main
from page4d.geometry import invert, project, rotation_angle_deg, transform, unproject_pixels
from page4d.result import Sightings, followed, prediction_from_clip, refined
from page4d.result.planted_errors import with_wrong_cameras
from page4d.schema import Prediction, UserError
from page4d.world import split_clip

pytest.importorskip("pycolmap", reason="needs the extra 'colmap'")


@pytest.fixture(scope="module")
def exact() -> Prediction:
    return prediction_from_clip(split_clip("static-test", 0, frames=6, height=120, width=160))


@pytest.fixture(scope="module")
def wrong(exact: Prediction) -> Prediction:
    return with_wrong_cameras(exact, turn_deg=2.0, step=0.1, rng=np.random.default_rng(0))


def exact_sightings(exact: Prediction) -> Sightings:
    """Pixels of the first frame on a grid, where the exact cameras put them in every frame."""
    rows, columns = np.mgrid[10:110:12, 10:150:12]
    pixels = torch.from_numpy(np.stack((columns.ravel(), rows.ravel()), -1)).double()
    depth = torch.from_numpy(exact.depth[0][rows.ravel(), columns.ravel()]).double()
    K, pose = torch.from_numpy(exact.K).double(), torch.from_numpy(exact.cam_from_world).double()
    world = transform(invert(pose[0]), unproject_pixels(pixels, depth, K[0]))
    seen = [project(transform(pose[i], world), K[i])[0] for i in range(len(exact))]
    xy = torch.stack(seen).numpy()
    return Sightings.of_tracks(xy, ((xy >= 0) & (xy <= [159, 119])).all(-1))


def turned_deg(one: Prediction, other: Prediction) -> float:
    a, b = (torch.from_numpy(p.cam_from_world[:, :, :3]).double() for p in (one, other))
    return float(rotation_angle_deg(a @ b.mT).max())


def test_exact_sightings_give_exact_cameras(exact: Prediction, wrong: Prediction) -> None:
    found, about = refined(wrong, exact_sightings(exact))
    assert turned_deg(wrong, exact) > 2
    assert turned_deg(found, exact) < 0.02
    np.testing.assert_allclose(found.cam_from_world[:, :, 3], exact.cam_from_world[:, :, 3], atol=0.01)
    assert about.before_px > 1
    assert about.after_px < 0.01
    assert about.focal_change == pytest.approx(0, abs=1e-6)
    assert found.meta["refined"]["after_px"] == pytest.approx(about.after_px, abs=1e-6)
    assert found.points is not None
    # Points are lifted from the new cameras and depths.
    np.testing.assert_allclose(found.points[0, 60, 80, 2], found.depth[0, 60, 80], rtol=1e-4)


def test_a_wrong_focal_length_is_found_where_it_is_asked_for(exact: Prediction) -> None:
    stretched = exact.K.copy()
    stretched[:, [0, 1], [0, 1]] *= 1.05
    found, about = refined(replace(exact, K=stretched), exact_sightings(exact), focal=True)
    np.testing.assert_allclose(found.K, exact.K, rtol=2e-3)
    assert about.focal_change == pytest.approx(1 / 1.05 - 1, abs=2e-3)


def test_what_flow_follows_corrects_planted_errors(exact: Prediction, wrong: Prediction) -> None:
    found, about = refined(wrong)
    assert turned_deg(found, exact) < 0.2 * turned_deg(wrong, exact)
    assert about.after_px < 0.3 < about.before_px
    assert about.taken


def test_cameras_that_fit_already_stay_as_they_are(exact: Prediction) -> None:
    kept, about = refined(exact)
    assert 0 < about.turned_deg < 1  # what flow's own error would have turned them by
    assert not about.taken
    assert kept.meta["refined"]["taken"] is False
    assert about.words().startswith("not refined: the cameras fit")
    for name in ("cam_from_world", "K", "depth"):
        assert np.array_equal(getattr(kept, name), getattr(exact, name))


def test_corners_are_followed_by_the_pixel() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (80, 110, 3)).astype(np.float32)
    wide = torch.nn.functional.avg_pool2d(torch.from_numpy(noise).permute(2, 0, 1), 5, 1, 2).permute(1, 2, 0)
    frames = np.stack([wide[2 * i : 2 * i + 64, 3 * i : 3 * i + 96].byte().numpy() for i in range(3)])
    seen = followed(frames)
    assert np.bincount(seen.frame).min() > 30
    order = np.argsort(seen.point, kind="stable")
    steps, same = np.diff(seen.pixels[order], axis=0), np.diff(seen.point[order]) == 0
    off = np.abs(steps[same] - [-3, -2]).max(1)
    assert np.median(off) < 0.01
    assert (off < 0.1).mean() > 0.9  # beside the border less is seen of a point
    still = np.ones(frames.shape[:3], bool)
    still[:, :, 40:] = False
    assert followed(frames, still).pixels[:, 0].max() < 40


def test_sightings_of_points_that_are_seen_once_are_left_out() -> None:
    seen = Sightings(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]), np.zeros((4, 2)))
    kept = seen.kept(np.ones(4, bool))
    assert kept.frame.tolist() == [0, 1]
    assert kept.point.tolist() == [0, 0]


def test_refusals(exact: Prediction, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="at least two frames"):
        refined(exact[:1])
    blank = replace(exact, images=np.zeros_like(exact.images))
    with pytest.raises(UserError, match="shares 0 points with the others; expected at least 8"):
        refined(blank)
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(UserError, match=r"pip install \"page4d\[colmap\]\""):
        refined(exact)


def test_export_refines_first(
    exact: Prediction, wrong: Prediction, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong.save(tmp_path / "prediction.npz")
    words = ["export", str(tmp_path / "prediction.npz"), "--refine", "poses", "--format", "cameras", "--moving", "none"]
    assert main([*words, "--camera", "single", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "refined: " in said
    assert "px; cameras turned by up to" in said
