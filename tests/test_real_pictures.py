"""Real pictures with known geometry: their calibration, folders of RGB-D frames, and the part of a card about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from little_model import little_model
from PIL import Image

from page4d.evaluate.cards import REAL_SECTION, SECTION, update_real_part
from page4d.evaluate.exact_scores import ExactAnswer, score
from page4d.evaluate.real_pictures import real_rows, rgbd_frames, stereo_pair
from page4d.geometry import pixel_grid, project, transform, unproject
from page4d.schema import UserError
from page4d.version import provenance


def test_stereo_points_are_seen_where_the_disparity_says() -> None:
    pair = stereo_pair()
    depth = torch.from_numpy(pair.depth[0])
    K = torch.from_numpy(pair.K)
    points = transform(pair.cam_from_world[1], unproject(depth, K[0]).flatten(0, 1))
    there, _ = project(points, K[1])
    here = pixel_grid(*depth.shape, depth).flatten(0, 1)
    known = depth.flatten() > 0
    moved = (here - there)[known]
    disparity = 994.978 * 0.193001 / depth.flatten()[known] - 31.086
    torch.testing.assert_close(moved[:, 0], disparity)
    assert moved[:, 1].abs().max() < 1e-9, "rectified: no row changes"
    assert 0.7 < known.double().mean() < 1


def test_at_a_networks_size_the_pictures_still_agree() -> None:
    clip = stereo_pair().at(112, 8)
    assert clip.images.shape[-1] == 112
    points = transform(clip.cam_from_world[1], unproject(clip.depth[0], clip.K[0]).flatten(0, 1))
    there, _ = project(points, clip.K[1])
    size = torch.tensor([clip.images.shape[-1], clip.images.shape[-2]])
    places = (2 * (there + 0.5) / size - 1)[None, None]
    moved = torch.nn.functional.grid_sample(clip.images[1:], places, align_corners=False)[0, :, 0]
    plain = clip.images[1].flatten(1)
    here = clip.images[0].flatten(1)
    known = clip.depth[0].flatten() > 0
    error, without = ((x - here).abs()[:, known].mean() for x in (moved, plain))
    assert error < 0.5 * without, "brought over by depth and calibration, the right picture looks like the left one"


def test_the_truth_itself_has_no_error() -> None:
    truth = stereo_pair().at(112, 8).truth
    row = score(ExactAnswer(truth.depth, truth.cam_from_world), truth).rows()[0]
    assert row["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert row["relative_rotation"] == pytest.approx(0, abs=1e-3)
    assert row["direction"] == pytest.approx(0, abs=0.05)


def rgbd_folder(root: Path, lines: int = 2) -> Path:
    (root / "color").mkdir(parents=True)
    (root / "depth").mkdir()
    for i in range(2):
        Image.fromarray(np.full((48, 64, 3), 40 * i, np.uint8)).save(root / "color" / f"{i}.png")
        Image.fromarray(np.full((48, 64), 1500, np.uint16)).save(root / "depth" / f"{i}.png")
    half = np.sqrt(0.5)
    poses = [[0, 0, 0, 0, 0, 0, 1], [1, 2, 3, 0, half, 0, half]]
    np.savetxt(root / "pose.txt", np.array(poses)[:lines])
    return root


def test_rgbd_folders_give_metres_and_cameras(tmp_path: Path) -> None:
    clip = rgbd_frames(rgbd_folder(tmp_path / "room"), (50.0, 50.0), (31.5, 23.5)).at(32, 8)
    assert clip.name == "room"
    assert clip.depth.unique().tolist() == [1.5]
    centre = -clip.cam_from_world[1, :, :3].T @ clip.cam_from_world[1, :, 3]
    torch.testing.assert_close(centre, torch.tensor([1.0, 2.0, 3.0]))
    assert clip.K[0, 0, 0] == pytest.approx(25.0), "half the size, half the focal length"


def test_rgbd_folders_of_unequal_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"2 pictures in color/, 2 maps in depth/, 1 lines of pose\.txt"):
        rgbd_frames(rgbd_folder(tmp_path / "room", lines=1), (50.0, 50.0), (31.5, 23.5))


def test_every_answer_stands_beside_the_network_and_in_the_card(tmp_path: Path) -> None:
    rows = real_rows(little_model(), stereo_pair())
    assert set(rows) == {"network", "constant", "rows", "still", "line", "random", "classical", "classical_twice"}
    assert rows["classical_twice"]["auc_5"] > rows["still"]["auc_5"] == 0
    assert rows["still"]["relative_rotation"] == pytest.approx(0, abs=1e-3)
    assert rows["classical_twice"]["direction"] < 5, "two-view geometry knows where the right camera stands"
    card = tmp_path / "net.md"
    card.write_text(f"# net\n\n{SECTION}\n\nexam\n")
    document = {"clips": {"motorcycle": rows}, "told": {"motorcycle": "a pair"}, "provenance": provenance()}
    document |= {"seen": ["room: looked at."]}
    update_real_part(card, document)
    once = card.read_text()
    update_real_part(card, document)
    assert card.read_text() == once
    assert once.index(REAL_SECTION) < once.index(SECTION)
    assert once.endswith("exam\n")
    assert "- motorcycle: a pair.\n- room: looked at.\n" in once


def test_depth_maps_are_read_as_they_are(tmp_path: Path) -> None:
    folder = rgbd_folder(tmp_path / "room")
    for path in (folder / "depth").glob("*.png"):
        path.unlink()
        path.with_suffix(".pgm").write_bytes(b"P5 64 48 4095\n" + np.full((48, 64), 1500, ">u2").tobytes())
    clip = rgbd_frames(folder, (50.0, 50.0), (31.5, 23.5)).at(32, 8)
    assert clip.depth.unique().tolist() == [1.5], "a largest value below 65535 stretches nothing"
    (folder / "depth" / "0.pgm").write_bytes(b"P5 64 48 4095\n")
    with pytest.raises(UserError, match=r"0\.pgm cannot be read as 16-bit PGM"):
        rgbd_frames(folder, (50.0, 50.0), (31.5, 23.5))
