"""Points followed through the world: closed forms, the data sets' files, a real track head."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from little_benchmarks import WORLD, small
from writers.benchmarks import WRITERS
from writers.scene import tracked

from page4d.cli import main
from page4d.data.datasets.pointodyssey import _stored_arrays
from page4d.evaluate import open_benchmark
from page4d.evaluate.harness import Study
from page4d.evaluate.layouts import list_sequences
from page4d.evaluate.planted import Planted, plant
from page4d.evaluate.predictions import prediction_of
from page4d.evaluate.protocol import STANDARD
from page4d.evaluate.rules import UnscorableError
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.track_layouts import read_tapvid3d, synthetic_tracks
from page4d.evaluate.track_truth import TrackTruth, depth_between, lift_tracks, lifted, off_edges, select_frames
from page4d.evaluate.tracks3d_scoring import score_tracks3d, sought_tracks, tracks_file
from page4d.model import PAGE4D
from page4d.schema import UserError

K = np.array([[20.0, 0, 15.5], [0, 20, 11.5], [0, 0, 1]])
FRAMES, HEIGHT, WIDTH, DEPTH_M = 4, 24, 32, 2.0


def wall(step_m: float, movers: int = 4, points: int = 14) -> EvalSequence:
    """Points on a wall two metres away; the first few of them glide to the right by a step every frame."""
    xy = np.stack((np.arange(points) * 2.0 + 2, np.full(points, 10.0)), 1)
    still = lift_tracks(
        xy[None], np.ones((1, points), bool), np.full((1, HEIGHT, WIDTH), DEPTH_M), K[None], np.eye(4)[None]
    )
    moved = np.repeat(still.points, FRAMES, 0)
    moved[:, :movers, 0] += step_m * np.arange(FRAMES)[:, None]
    truth = TrackTruth(moved, np.ones((FRAMES, points), bool), xy, np.eye(4))
    images = tuple(Path(f"{i:05d}.png") for i in range(FRAMES))
    return EvalSequence("wall", images, tuple(map(float, range(FRAMES))), read_tracks=lambda numbers: truth)


def seen(sequence: EvalSequence, depth_m: float = DEPTH_M):
    depth = np.full((FRAMES, HEIGHT, WIDTH), depth_m, np.float32)
    poses, lenses = np.tile(np.eye(4), (FRAMES, 1, 1)), np.tile(K, (FRAMES, 1, 1)).astype(np.float32)
    return prediction_of(sequence, depth, poses, lenses, (HEIGHT, WIDTH))


@pytest.fixture
def rules(tmp_path):
    return replace(Study(small("tracks3d"), out=tmp_path).rules, folder=tmp_path)


def test_what_glides_is_left_behind_by_pixels_by_the_closed_form(rules):
    sequence = wall(0.2)
    score = score_tracks3d(sequence, seen(sequence), rules)
    # Four of fourteen points are off by 0, 0.2, 0.4 and 0.6 m in the four frames.
    assert score.values["epe"] == pytest.approx(4 / 14 * 0.3, abs=1e-6)
    late = [4 / 14 * share for share in (3 / 4, 2 / 4, 1 / 4, 0)]
    assert [score.values[f"within_{limit}_m"] for limit in ("0.1", "0.3", "0.5", "1")] == pytest.approx(
        [1 - share for share in late]
    )
    assert score.values["apd"] == pytest.approx(1 - np.mean(late))
    assert score.notes["points"] == 14


def test_scale_costs_nothing_and_a_still_world_is_perfect(rules):
    sequence = wall(0.0)
    score = score_tracks3d(sequence, seen(sequence, 7.0), rules)
    assert score.values["apd"] == 1
    assert score.values["epe"] == pytest.approx(0, abs=1e-6)
    nowhere = seen(sequence)
    nowhere.depth[:] = 0
    with pytest.raises(UnscorableError, match="no scale can be found"):
        score_tracks3d(sequence, nowhere, rules)


def test_a_tracker_that_follows_is_right_and_says_what_it_sees(rules, tmp_path):
    sequence = wall(0.2)
    truth = sequence.read_tracks([])
    where = np.repeat(truth.query_xy[None], FRAMES, 0)
    where[:, :4, 0] += 0.2 * np.arange(FRAMES)[:, None] * K[0, 0] / DEPTH_M
    visible = np.ones(where.shape[:2], np.float32)
    visible[3] = 0.2
    np.savez(tracks_file(tmp_path, "wall"), xy=where, visible=visible)
    score = score_tracks3d(sequence, seen(sequence), replace(rules, followed="tracker"))
    assert score.values["epe"] == pytest.approx(0, abs=1e-6)
    assert score.values["visibility_accuracy"] == pytest.approx(3 / 4)
    np.savez(tracks_file(tmp_path, "wall"), xy=where[:, 1:], visible=visible[:, 1:])
    with pytest.raises(UserError, match="predict again"):
        score_tracks3d(sequence, seen(sequence), replace(rules, followed="tracker"))
    tracks_file(tmp_path, "wall").unlink()
    with pytest.raises(UserError, match="weights with a track head"):
        score_tracks3d(sequence, seen(sequence), replace(rules, followed="tracker"))
    with pytest.raises(UserError, match="choose one of 'pixels', 'tracker', 'file'"):
        replace(rules, followed="flow")
    with pytest.raises(UserError, match="has no tracks"):
        score_tracks3d(replace(sequence, read_tracks=None), seen(sequence), rules)


def test_depth_between_pixels_is_exact_on_a_slanted_plane_and_edges_are_left_out():
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    depth = 1 / (0.5 - 0.01 * (u - 15.5) / 20 + 0.02 * (v - 11.5) / 20)
    xy = np.array([[3.25, 7.5], [20.125, 12.75]])
    exact = 1 / (0.5 - 0.01 * (xy[:, 0] - 15.5) / 20 + 0.02 * (xy[:, 1] - 11.5) / 20)
    np.testing.assert_allclose(depth_between(depth, xy), exact, rtol=1e-6)
    depth[:, 20:] *= 2
    assert off_edges(depth, np.array([[10.0, 5], [19.6, 5], [25, 5], [-1, 5], [40, 5]])).tolist() == [
        True, False, True, False, False,
    ]  # fmt: skip
    assert depth_between(np.zeros((4, 4)), np.array([[1.0, 1]])).tolist() == [0]


def test_a_still_point_of_the_world_stays_where_it_is():
    clip = tracked(3, frames=5, moving_bodies=(0, 0)).clip
    truth = lifted(clip).of_first()
    first = np.repeat(truth.points[:1], 5, 0)
    error = np.linalg.norm(truth.points - first, axis=-1)[truth.seen]
    assert truth.seen.sum() > 100
    assert np.median(error) < 1e-3
    with pytest.raises(UserError, match="has no tracks"):
        lifted(replace(clip, tracks=None))
    with pytest.raises(UserError, match="keep it"):
        select_frames(truth, [1, 2])
    with pytest.raises(UserError, match="picture of frame 9, but tracks of 5 frames"):
        select_frames(truth, [0, 9])


def test_the_tracks_of_pointodyssey_are_its_own_where_it_has_them(tmp_path):
    clip = tracked(3, frames=4, camera_speed=(0.5, 0.5), tripod_chance=0.0).clip
    WRITERS["pointodyssey"](tmp_path, {"one": clip})
    benchmark = open_benchmark("tracks3d-pointodyssey")
    benchmark = replace(benchmark, min_frames=1)

    def read():
        _stored_arrays.cache_clear()
        (sequence,) = list_sequences(tmp_path, benchmark, STANDARD)
        return sought_tracks(sequence)

    def put(trajs_3d):
        path = tmp_path / "test" / "one" / "anno.npz"
        with np.load(path, allow_pickle=True) as stored:
            arrays = {name: stored[name] for name in stored.files}
        np.savez(path, **arrays | {"trajs_3d": trajs_3d})

    exact, own = lifted(clip).points, read()
    first = clip.tracks[0].numpy()
    matched = [int(np.flatnonzero((first == xy).all(1))[0]) for xy in own.query_xy.astype(np.float32)]
    assert len(matched) > 20
    off_exact = np.abs(own.points - exact[:, matched])[own.seen]
    put(np.array(None))
    from_depth = read()
    off_rounded = np.abs(from_depth.points - exact[:, matched])[from_depth.seen]
    # Depth is stored in steps of 15 mm; the stored points are not rounded.
    assert off_exact.max() < 1e-5 < 2e-3 < off_rounded.max()
    for wrong in (exact * 1.2, exact[..., [0, 2, 1]], np.where(np.arange(len(exact[0]))[:, None] >= 0, np.nan, exact)):
        put(wrong)
        with pytest.raises(UserError, match=r"trajs_3d.*benchmark\.sequences"):
            read()
    put(exact[:, 1:])
    with pytest.raises(UserError, match="trajs_3d"):
        read()


def test_files_of_tapvid3d_with_and_without_cameras(tmp_path):
    clip = tracked(3, frames=5, camera_speed=(0.0, 0.0)).clip
    WRITERS["tapvid3d"](tmp_path, {"one": clip})
    truth, again = lifted(clip), read_tapvid3d(tmp_path / "one.npz", [0, 2, 4])
    kept = again.seen
    np.testing.assert_allclose(again.points[kept], truth.points[[0, 2, 4]][kept], atol=1e-5)
    np.testing.assert_allclose(again.query_xy[kept[0]], truth.query_xy[kept[0]], atol=1e-3)
    with np.load(tmp_path / "one.npz") as stored:
        arrays = {name: stored[name] for name in stored.files if name != "extrinsics_w2c"}
    np.savez(tmp_path / "one.npz", **arrays)
    assert (read_tapvid3d(tmp_path / "one.npz", [0, 1]).cam_from_world == np.eye(4)).all()
    np.savez(tmp_path / "one.npz", **arrays | {"extrinsics_w2c": np.eye(4)[None]})
    with pytest.raises(UserError, match="extrinsics_w2c"):
        read_tapvid3d(tmp_path / "one.npz", [0])
    np.savez(tmp_path / "one.npz", **arrays | {"visibility": arrays["visibility"][1:]})
    with pytest.raises(UserError, match="expected"):
        read_tapvid3d(tmp_path / "one.npz", [0])
    assert open_benchmark("tracks3d-tapvid3d").unit == "m"
    (tmp_path / "one.npz").write_bytes((tmp_path / "one.npz").read_bytes()[:900])
    with pytest.raises(UserError, match=r"one\.npz"):
        read_tapvid3d(tmp_path / "one.npz", [0])


def test_points_of_another_model_are_asked_for_converted_and_scored(tmp_path, capsys):
    words = ["benchmark=tracks3d-synthetic", "benchmark.settings.sequences=1", f"out={tmp_path}", "label=other"]
    words += ["benchmark.settings.world.frames=3"]
    assert main(["evaluate", "queries", *words]) == 0
    (asked,) = (tmp_path / "queries" / "tracks3d-synthetic").glob("*.csv")
    queries = np.loadtxt(asked, delimiter=",", skiprows=1)
    root = next((tmp_path / "data").glob("synthetic-*")) / "training"
    truth = synthetic_tracks(root, "scene_00", [1, 2, 3]).of_first()
    np.testing.assert_allclose(queries, truth.query_xy, atol=1e-3)
    cam = truth.cam_from_world
    theirs = 3 * (truth.points @ cam[:3, :3].T + cam[:3, 3])
    (tmp_path / "theirs").mkdir()
    np.savez(tmp_path / "theirs" / "scene_00.npz", points=theirs, seen=truth.seen)
    assert main(["evaluate", "convert", *words, "--tracks", str(tmp_path / "theirs")]) == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert "followed=file" in command
    assert main(command[1:]) == 0
    assert "| file | 1/1 | 3 | - | - | 1.000 | 0.000 | 1.000 |" in capsys.readouterr().out
    np.savez(tmp_path / "theirs" / "scene_00.npz", points=theirs[:, 1:])
    words[2:] = [f"out={tmp_path / 'again'}", "label=other", words[-1]]
    assert main(["evaluate", "convert", *words, "--tracks", str(tmp_path / "theirs")]) == 2
    assert "page4d evaluate queries" in capsys.readouterr().err


def test_a_network_with_a_track_head_follows_the_true_points(tmp_path):
    torch.manual_seed(0)
    model = PAGE4D(
        img_size=144, patch_size=16, embed_dim=32, depth=4, num_heads=2, patch_embed="conv", dpt_features=16,
        dpt_channels=(8, 8, 8, 8), dpt_pairs=(0, 1, 2, 3), camera_heads=4, camera_trunk_depth=2, mask_source=1,
        masked_pairs=(2,), enable_track=True, track_features=16, track_hidden=48,
    )  # fmt: skip
    square = {"split": "dynamic-test", "sequences": 1, "world": WORLD | {"height": 40, "frames": 2}}
    benchmark = replace(small("tracks3d"), settings=square)
    made = Study(benchmark, out=tmp_path, followed="tracker")
    assert made.predict(model, "m") == 0
    assert tracks_file(made.predictions("m"), "scene_00").is_file()
    scores = made.score("m", model)
    assert 0 <= scores.mean["visibility_accuracy"] <= 1
    pixels = replace(made, followed="pixels")
    assert "visibility_accuracy" not in pixels.score("m", model).mean
    assert pixels.scores_file("m") != made.scores_file("m")


def test_the_synthetic_twin_is_perfect_but_for_what_moves(tmp_path):
    made = Study(small("tracks3d"), out=tmp_path)
    plant(made, "exact", Planted())
    scores = made.score("exact")
    assert 0.5 < scores.mean["within_0.3_m"] <= 1
    assert np.isfinite(scores.mean["epe"])
