"""`prepare kubric-tracks`: equal to the exact tracks of the scenes that the folders were written from."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from writers import kubric

from page4d.cli import main
from page4d.data.datasets import ClipSelection, Kubric
from page4d.prepare.kubric_tracks import TrackOptions, plan_scene
from page4d.prepare.plans import write_plan
from page4d.schema import Clip, UserError
from page4d.world import Scene, WorldConfig, query_tracks, render_clip, sample_scene

HEIGHT, WIDTH, FRAMES = 48, 64, 4


@lru_cache(maxsize=4)
def rigid_scene(seed: int = 2) -> tuple[Scene, Clip]:
    """Moving rigid bodies, a moving camera, square pixels and a centred principal point."""
    config = WorldConfig(
        height=HEIGHT, width=WIDTH, frames=FRAMES, environment="room", deforming_weight=0, walker_weight=0,
        moving_share=0.25, camera_speed=1.0, centre_offset=(-0.5 / WIDTH, -0.5 / HEIGHT), frame_stride=1.0,
    )  # fmt: skip
    scene = sample_scene(seed, config)
    return scene, render_clip(scene)


def write(root: Path, seed: int = 2) -> Path:
    scene, clip = rigid_scene(seed)
    kubric.write(root, {"scene_0001": replace(clip, tracks=None)}, objects={"scene_0001": kubric.objects_of(scene)})
    return root / "scene_0001"


@pytest.mark.parametrize("seed", [2, 3])
def test_tracks_equal_the_exact_ones(tmp_path: Path, seed: int) -> None:
    folder = write(tmp_path, seed)
    assert write_plan(plan_scene(folder, folder))
    xy, mask = np.load(folder / "tracks.npy"), np.load(folder / "track_masks.npy")
    assert xy.dtype == np.float64
    assert mask.dtype == bool
    assert xy.shape == ((HEIGHT // 8) * (WIDTH // 8), FRAMES, 2)
    np.testing.assert_allclose(xy[:3, 0], [[4, 4], [12, 4], [20, 4]], atol=1e-3)  # the grid, row by row

    scene, clip = rigid_scene(seed)
    exact, visible = query_tracks(scene, 0, torch.from_numpy(xy[:, 0]).round())
    exact, visible = exact.numpy().swapaxes(0, 1), visible.numpy().swapaxes(0, 1)
    assert clip.moving is not None
    moving = clip.moving[0].numpy()[xy[:, 0, 1].round().astype(int), xy[:, 0, 0].round().astype(int)]
    assert moving.any()
    assert np.linalg.norm(exact[moving, -1] - exact[moving, 0], axis=-1).max() > 2  # something really moves
    np.testing.assert_allclose(xy[visible], exact[visible], atol=0.01)
    assert (mask == visible).mean() > 0.97  # they may differ within a pixel of an edge
    assert mask[:, 0].all()


def test_the_loader_reads_them(tmp_path: Path) -> None:
    folder = write(tmp_path)
    write_plan(plan_scene(folder, folder))
    clip = Kubric(tmp_path, ClipSelection(min_frames=2)).load("scene_0001", [1, 3])
    assert clip.tracks is not None
    np.testing.assert_allclose(clip.tracks.numpy(), np.load(folder / "tracks.npy")[:, [1, 3]].swapaxes(0, 1), atol=1e-4)


def test_a_point_behind_another_body_is_hidden_also_far_from_the_axis(tmp_path: Path) -> None:
    """A wall 2 % behind another: closer than 1 % in distance at no pixel, and hidden everywhere."""
    _, clip = rigid_scene()
    depth = torch.full((2, HEIGHT, WIDTH), 5.0)
    depth[1, :, : WIDTH // 2] = 5.0 / 1.02  # in the second frame a screen has come down on the left
    ids = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.long)
    still = replace(
        clip, images=clip.images[:2], depth=depth, instances=ids, moving=None, flow=None,
        cam_from_world=clip.cam_from_world[:1].expand(2, 3, 4), K=clip.K[:2], frame_numbers=clip.frame_numbers[:2],
    )  # fmt: skip
    kubric.write(tmp_path, {"scene_0001": still}, objects={"scene_0001": []})
    write_plan(plan_scene(tmp_path / "scene_0001", tmp_path / "out"))
    xy, mask = np.load(tmp_path / "out/tracks.npy"), np.load(tmp_path / "out/track_masks.npy")
    assert not mask[xy[:, 1, 0] < WIDTH / 2 - 1, 1].any()
    assert mask[xy[:, 1, 0] > WIDTH / 2, 1].all()


def test_an_instance_without_poses_keeps_its_number_and_gets_no_track(tmp_path: Path) -> None:
    folder = write(tmp_path)
    labels = rigid_scene()[1].instances
    assert labels is not None
    on_grid = labels[0, 4::8, 4::8].flatten()
    lost = int(on_grid[on_grid > 0].mode().values)
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["instances"][lost - 1] = {"asset_id": "unposed"}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    whole, fewer = plan_scene(write(tmp_path / "again"), tmp_path), plan_scene(folder, tmp_path)
    count = [int(plan.notes[0].split()[0]) for plan in (whole, fewer)]
    assert count[0] - count[1] == int((on_grid == lost).sum())


def test_step_and_offset(tmp_path: Path) -> None:
    folder = write(tmp_path)
    plan = plan_scene(folder, folder, TrackOptions(step=16, offset=2))
    assert plan.notes[0].startswith("12 tracks over 4 frames")
    with pytest.raises(UserError, match="step of at least 1"):
        TrackOptions(step=0)


def test_bad_scenes(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "segmentation_00002.png").unlink()
    with pytest.raises(UserError, match="without segmentation"):
        plan_scene(folder, folder)
    (folder / "depth_00001.tiff").unlink()
    with pytest.raises(UserError, match=r"depth_00001\.tiff"):
        plan_scene(folder, folder)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert main(["prepare", "kubric-tracks", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "scene_0001: tracks.npy, track_masks.npy written" in text
    assert "48 tracks over 4 frames" in text
    assert main(["prepare", "kubric-tracks", str(tmp_path / "scene_0001")]) == 0
    assert "already complete" in capsys.readouterr().out
    assert main(["prepare", "kubric-tracks", str(tmp_path / "nothing")]) == 2
    assert "holds no Kubric scene" in capsys.readouterr().err
