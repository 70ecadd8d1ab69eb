"""Every benchmark in its own layout: perfect predictions, planted errors with closed forms, the tiny network."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from little_benchmarks import CONF, micro
from writers.benchmarks import WRITERS
from writers.scene import room, tracked

from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.harness import Study
from page4d.evaluate.indoor_scenes import NRGBD_K, SEVEN_SCENES_K
from page4d.evaluate.opening import open_benchmark
from page4d.evaluate.predictions import Origin, mask_of
from page4d.evaluate.protocol import PUBLIC, STANDARD, Protocol, with_options
from page4d.evaluate.registration import world_z
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.tasks import TASKS
from page4d.evaluate.tracks3d_scoring import tracks_file
from page4d.metrics import METRICS
from page4d.result.exact import prediction_from_clip
from page4d.schema import Clip, Prediction, UserError

NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
SCORED = [name for name in NAMES if not name.startswith("features")]
SEQUENCES = ("one", "two")


# Composing a benchmark takes a tenth of a second, and the tests below ask for each many times.
shipped_benchmark = lru_cache(maxsize=None)(open_benchmark)


def benchmark(name: str, sequences: tuple[str, ...] = SEQUENCES) -> Benchmark:
    """The shipped configuration, on our two sequences instead of the official ones."""
    stored = shipped_benchmark(name)
    if stored.dataset == "co3d":
        sequences = tuple(f"toy_{name}" for name in sequences)
    if stored.dataset == "dynamic_replica":
        sequences = tuple(f"{name}_source_left" for name in sequences)
    if stored.dataset == "7scenes":
        sequences = tuple(f"{name}_seq-01" for name in sequences)
    sequences = () if stored.dataset == "nyu" else sequences
    return replace(stored, sequences=sequences, left_out_by_public=(), stride=1, min_frames=1)


@lru_cache
def clips(frames: int = 5) -> dict[str, Clip]:
    return {
        name: room(seed, frames=frames, camera_speed=(0.5, 0.5), tripod_chance=0.0)
        for name, seed in zip(SEQUENCES, (3, 4), strict=True)
    }


LENSES = {"7scenes": SEVEN_SCENES_K, "nrgbd": NRGBD_K}


TRACKED = ("pointodyssey", "kubric", "dynamic_replica", "tapvid3d", "synthetic")


@lru_cache
def followed_clips() -> dict[str, Clip]:
    """Rooms with tracks and a camera as Kubric has it."""
    lens = {"anisotropy": 0.0, "centre_offset": (-0.5 / 64, -0.5 / 48)}
    made = {}
    for name, seed in zip(SEQUENCES, (3, 4), strict=True):
        made[name] = tracked(seed, frames=5, camera_speed=(0.5, 0.5), tripod_chance=0.0, **lens).clip
    return made


def put_tracks(folder: Path, sequence: EvalSequence, clip: Clip) -> None:
    """The true 2-D tracks, as if a track head had found them."""
    truth = sequence.read_tracks([int(stamp) for stamp in sequence.image_stamps])
    asked = truth.seen[0]
    found = {"xy": clip.tracks.numpy()[:, asked], "visible": truth.seen[:, asked].astype(np.float32)}
    np.savez(tracks_file(folder, sequence.name), **found)


def clips_of(dataset: str) -> dict[str, Clip]:
    """The clips, with the lens of a data set that has one for all, or with tracks where it has them."""
    if dataset in TRACKED:
        return followed_clips()
    if dataset not in LENSES:
        return clips()
    K = torch.from_numpy(LENSES[dataset]).float()
    return {name: replace(clip, K=K.expand(len(clip), 3, 3)) for name, clip in clips().items()}


def study(name: str, tmp_path: Path, protocol=STANDARD, align="scale", world=None, which=None) -> Study:
    """The layout on disk and the study over it."""
    made = which or benchmark(name)
    root = tmp_path / f"data-{made.dataset}"
    if not root.exists():
        root.mkdir()
        WRITERS[made.dataset](root, world or clips_of(made.dataset))
    return Study(made, protocol, align, tmp_path / "out", root, moving="model", followed="tracker")


ARRAYS = (
    "cam_from_world", "K", "depth", "depth_conf", "points", "points_conf", "images", "timestamps_s", "original_hw",
    "box_in_original", "mask",
)  # fmt: skip


def exact(clip: Clip) -> Prediction:
    return replace(prediction_from_clip(clip), mask=mask_of(clip.moving.numpy()))


def joined(parts: list[Prediction], names: tuple[str, ...]) -> Prediction:
    """Frames of several predictions in a row; the last one again until every name has a frame."""
    arrays = {name: np.concatenate([getattr(p, name) for p in parts]) for name in ARRAYS}
    frames = np.minimum(np.arange(len(names)), len(arrays["depth"]) - 1)
    meta = {"config_sha256": "c", "weights_sha256": "w"}
    return replace(parts[0], **{k: v[frames] for k, v in arrays.items()}, frame_names=names, meta=meta)


def put(made: Study, change=lambda p: p, world=None) -> None:
    """Write the truth, changed, as if a network had predicted it."""
    folder = made.predictions("truth")
    inputs = made.protocol.input_key(made.benchmark.task)
    Origin(made.benchmark.name, made.benchmark.version, "truth", "page4d", "c", "w", inputs).save(folder)
    world = world or clips_of(made.benchmark.dataset)
    for sequence in made.sequences():
        name = sequence.name.removeprefix("toy_").removesuffix("_seq-01").removesuffix("_source_left")
        seen = list(world.values()) if made.benchmark.dataset == "nyu" else [world[name]]
        if made.benchmark.task == "tracks3d":
            put_tracks(folder, sequence, world[name])
        names = tuple(p.name for p in sequence.images)
        change(joined([exact(clip) for clip in seen], names)).save(folder / f"{sequence.name}.npz")


# Half a quantum of the format over the nearest depth of these rooms (about 0.5 m), for 16-bit files.
QUANTUM = {"bonn": 1 / 5000, "kitti": 1 / 256, "7scenes": 1 / 1000, "nrgbd": 1 / 1000}
QUANTUM |= {"pointodyssey": 1000 / 65535, "dynamic_replica": 1 / 256, "kubric": 1e-3}


def task_of(name: str) -> str:
    """The task that a benchmark is named after; composing all of them to ask would slow down every collection."""
    return name.partition("-")[0]


def test_benchmarks_are_named_after_their_task() -> None:
    assert [task_of(name) for name in NAMES] == [benchmark(name).task for name in NAMES]


def protocols_of(name: str) -> tuple[Protocol, ...]:
    return (PUBLIC, STANDARD) if TASKS[task_of(name)].with_public else (STANDARD,)


PAIRS = [(n, p) for n in SCORED for p in protocols_of(n)]


PERFECT = [
    pytest.param(n, p, id=f"{n}-{p.name}", marks=[pytest.mark.slow] if p is PUBLIC and "synthetic" not in n else [])
    for n, p in PAIRS
]


@pytest.mark.parametrize(("name", "protocol"), PERFECT)
def test_perfect_predictions_score_zero(name, protocol, tmp_path):
    task = benchmark(name).task
    if task == "videodepth":
        # World z is no depth, so the truth does not score zero under it; its own test is below.
        protocol = with_options(protocol, depth_source="own_camera")
    if name == "pose-dycheck" and protocol is PUBLIC:
        protocol = with_options(protocol, dycheck_camera="0")  # the mix of cameras has its own test
    made = study(name, tmp_path, protocol)
    put(made)
    scores = made.score("truth")
    assert (scores.n, scores.of) == (len(scores.sequences),) * 2
    for metric in TASKS[task].metrics:
        perfect = 1.0 if METRICS[metric].better == "higher" else 0.0
        if metric.startswith(("auc", "normals")):
            assert scores.mean[metric] > 0.98, metric  # what rounding costs poses at 3 degrees, and steps of depth
            continue
        tolerance = QUANTUM.get(scores.benchmark.split("-")[1], 0.0) + (1e-3 if metric == "rpe_rot_deg" else 2e-5)
        assert scores.mean[metric] == pytest.approx(perfect, abs=tolerance), metric


@pytest.mark.parametrize("align", ["scale", "scale&shift", "metric"])
def test_a_planted_scale_costs_nothing_unless_depth_is_metric(align, tmp_path):
    made = study("videodepth-sintel", tmp_path, STANDARD, align)
    put(made, lambda p: replace(p, depth=p.depth * np.float32(3.5)))
    scores = made.score("truth")
    wanted = 2.5 if align == "metric" else 0.0
    assert scores.mean["abs_rel"] == pytest.approx(wanted, abs=1e-5)
    assert scores.mean["delta_1"] == (0.0 if align == "metric" else 1.0)
    if align != "metric":
        assert [s.notes["scale"] for s in scores.sequences] == pytest.approx([1 / 3.5] * 2, rel=1e-5)


def test_a_planted_shift_is_found_by_the_converged_fit_and_not_by_the_public_one(tmp_path):
    shifted = lambda p: replace(p, depth=p.depth + np.float32(1.5))  # noqa: E731
    protocol = with_options(STANDARD, solver="converged")
    made = study("videodepth-bonn", tmp_path, protocol, "scale&shift")
    put(made, shifted)
    converged = made.score("truth")
    assert converged.mean["abs_rel"] < 1e-4
    assert converged.sequences[0].notes["shift"] == pytest.approx(-1.5, abs=1e-3)
    public = replace(made, protocol=with_options(STANDARD, solver="public")).score("truth")
    assert public.mean["abs_rel"] > 0.02  # E15: the step budget moves the shift by about 0.1
    scaled = replace(made, align="scale").score("truth")
    assert scaled.mean["abs_rel"] > converged.mean["abs_rel"]


def flat(clip: Clip, depths: list[float]) -> Clip:
    values = torch.tensor(depths)[:, None, None].expand(clip.depth.shape).clone()
    return replace(clip, depth=values)


def test_swapped_frames_cost_what_the_formula_says(tmp_path):
    world = {name: flat(clip, [2.0, 4.0, 5.0, 8.0, 10.0]) for name, clip in clips().items()}
    made = study("videodepth-dycheck", tmp_path, STANDARD, "metric", world)
    put(made, lambda p: replace(p, depth=p.depth[[1, 0, 2, 3, 4]]), world)
    scores = made.score("truth")
    assert scores.mean["abs_rel"] == pytest.approx((2 / 2 + 2 / 4) / 5)
    assert scores.mean["rmse"] == pytest.approx(np.sqrt(2 * 4 / 5))
    assert scores.mean["delta_1"] == pytest.approx(3 / 5)
    assert scores.sequences[0].items["abs_rel"] == pytest.approx((1.0, 0.5, 0, 0, 0))


def test_world_z_equals_the_released_points():
    golden = np.load(Path(__file__).parent / "golden" / "video_depth_world_z.npz")
    z = world_z(golden["depth"][..., 0], golden["intrinsics"], golden["extrinsics_w2c"])
    np.testing.assert_allclose(z, golden["saved_by_reference_depth"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("speed", [0.0, 0.5])
def test_world_z_costs_a_moving_camera_even_where_all_is_perfect(speed, tmp_path):
    pairs = zip(SEQUENCES, (3, 4), strict=True)
    world = {name: room(seed, frames=5, camera_speed=(speed, speed), tripod_chance=0.0) for name, seed in pairs}
    made = study("videodepth-sintel", tmp_path, with_options(STANDARD, depth_source="world_z"), world=world)
    put(made, world=world)
    scores = made.score("truth")
    first = [s.items["abs_rel"] for s in scores.sequences]
    if speed == 0:
        assert scores.mean["abs_rel"] == pytest.approx(0, abs=1e-5)
    else:
        assert scores.mean["abs_rel"] > 0.01  # E1
        assert all(max(s[1:]) > 0.01 for s in first)


def square_world(side: float) -> dict[str, Clip]:
    """Four cameras on the corners of a square, looking along z: errors have closed forms."""
    world = {}
    for name, clip in clips(4).items():
        poses = torch.eye(4)[:3].repeat(4, 1, 1)
        poses[:, :2, 3] = -torch.tensor([[1.0, 1], [-1, 1], [-1, -1], [1, -1]]) * side
        world[name] = replace(clip, cam_from_world=poses)
    return world


@pytest.mark.parametrize("protocol", [PUBLIC, STANDARD], ids=["public", "standard"])
@pytest.mark.parametrize("name", ["pose-sintel", "pose-bonn", "pose-tum", "pose-scannet"])
def test_planted_pose_noise_gives_the_closed_form(name, protocol, tmp_path):
    world = square_world(1.0)
    made = study(name, tmp_path, protocol, world=world)
    noise = 0.3

    def lift(p):
        poses = p.cam_from_world.copy()
        poses[:, 2, 3] -= np.array([1, -1, 1, -1]) * noise  # a saddle: no rotation, shift or scale can undo it
        return replace(p, cam_from_world=poses)

    put(made, lift, world)
    scores = made.score("truth")
    # Variances about the centre: 2 of the truth, 2 + d^2 of the estimate, covariance 2.
    assert scores.mean["ate"] == pytest.approx(np.sqrt(2 - 4 / (2 + noise**2)), rel=1e-5)
    assert scores.mean["rpe_rot_deg"] == pytest.approx(0, abs=1e-3)
    scale = 2 / (2 + noise**2)
    step = np.sqrt((2 * (1 - scale)) ** 2 + (2 * noise * scale) ** 2)
    assert scores.mean["rpe_trans"] == pytest.approx(step, rel=1e-5)


def test_a_planted_turn_of_every_second_camera_is_measured(tmp_path):
    made = study("pose-tum", tmp_path)
    angle = np.radians(2.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])

    def twist(p):
        poses = p.cam_from_world.astype(np.float64)
        poses[1::2] = turn @ poses[1::2]
        return replace(p, cam_from_world=poses.astype(np.float32))

    put(made, twist)
    scores = made.score("truth")
    assert scores.mean["rpe_rot_deg"] == pytest.approx(2.0, abs=1e-3)
    assert scores.mean["ate"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("protocol", [PUBLIC, STANDARD], ids=["public", "standard"])
def test_frames_without_a_pose_are_left_out_and_counted(protocol, tmp_path):
    world = square_world(1.0)
    made = study("pose-scannet", tmp_path, protocol, world=world)
    put(made, world=world)
    path = tmp_path / "data-scannet" / "one" / "pose_90.txt"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], " ".join(["-inf"] * 16), *rows[2:]]))
    scores = made.score("truth")
    assert (scores.n, scores.of) == (2, 2)
    assert scores.mean["ate"] == pytest.approx(0, abs=1e-6)
    one, two = scores.sequences
    assert (one.notes["pairs"], one.notes["without_pose"]) == (3, 1)
    assert (two.notes["pairs"], two.notes["without_pose"]) == (4, 0)
    path.write_text("\n".join([rows[0], rows[1], *[" ".join(["inf"] * 16)] * 2]))
    failed = made.score("truth")
    assert (failed.n, failed.of) == (1, 2)
    assert failed.sequences[0].error


@pytest.mark.parametrize("name", ["videodepth-dycheck", "monodepth-dycheck", "points-dycheck"])
def test_depth_cut_at_three_metres_is_truth_only_under_public(name, tmp_path):
    world = {name: replace(clip, depth=clip.depth.clamp(max=3.0)) for name, clip in clips().items()}
    far = float(np.mean([(clip.depth == 3).float().mean() for clip in world.values()]))
    assert 0.1 < far < 0.9
    made = study(name, tmp_path, STANDARD, "metric", world)
    beyond = lambda p: replace(p, depth=np.where(p.depth == 3, 30, p.depth).astype(np.float32), points=None)  # noqa: E731
    put(made, beyond, world)
    right = made.score("truth")
    assert right.mean.get("abs_rel", 0) == pytest.approx(0, abs=1e-5)
    assert right.mean.get("overall_mean", 0) == pytest.approx(0, abs=1e-4)
    kept = replace(made, protocol=with_options(STANDARD, clamped_depth="keep"))
    wrong = kept.score("truth")
    assert max(wrong.mean.get("abs_rel", 0), wrong.mean.get("overall_mean", 0)) > 0.1
    if "videodepth" in name:
        pixels = {s.name: s.weight for s in wrong.sequences}
        assert sum(s.weight for s in right.sequences) == pytest.approx((1 - far) * sum(pixels.values()))


@pytest.mark.parametrize(("name", "units"), [("videodepth-kitti", 256), ("videodepth-bonn", 5000)])
def test_truth_has_the_number_type_of_the_released_readers(name, units, tmp_path):
    made = study(name, tmp_path)
    sequence = made.sequences()[0]
    depth = sequence.read_depth(sequence.depths[0])
    assert depth.dtype == np.float64
    np.testing.assert_array_equal(depth, np.rint(depth * units) / units)  # as 16-bit steps divided in float64


def test_mixed_cameras_of_dycheck_go_wrong_in_public_and_not_in_standard(tmp_path):
    standard = study("pose-dycheck", tmp_path, STANDARD)
    put(standard)
    assert standard.score("truth").mean["ate"] == pytest.approx(0, abs=1e-5)
    public = study("pose-dycheck", tmp_path, PUBLIC)
    assert [len(s.images) for s in public.sequences()] == [6, 6]  # one more: a still camera's, by name the last
    put(public)
    assert public.score("truth").n == 2  # E7: six predictions, five poses, and nobody notices
    by_name = study("pose-dycheck", tmp_path, with_options(STANDARD, dycheck_camera="all"))
    put(by_name)
    with pytest.raises(UserError, match=r"1 of 6 images have no pose of their name \(1_00000.png\)"):
        by_name.score("truth")


# One benchmark of each task always, the others with the slow tests.
FIRST_OF_TASK = {task_of(name): name for name in reversed(NAMES)}.values()
RUN_THROUGH = [n if n in FIRST_OF_TASK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]


@pytest.mark.parametrize("name", RUN_THROUGH)
def test_a_network_runs_end_to_end_through_every_benchmark(name, tmp_path):
    model = micro()
    protocols = [STANDARD] if benchmark(name).task == "features" else protocols_of(name)
    for protocol in protocols:
        made = replace(study(name, tmp_path, protocol), moving="geometric", followed="pixels")
        if made.benchmark.task == "features":
            assert made.predict(model, "micro") == 0
            stored = Prediction.load(made.predictions("micro") / "one.npz")
            assert len(stored) == 5
            with pytest.raises(UserError, match="no ground truth"):
                made.score("micro")
            continue
        scores = made.run(model, "micro")
        assert scores.n == scores.of > 0
        assert np.isfinite(list(scores.mean.values())).all()
        square = protocol is PUBLIC
        stored = Prediction.load(made.predictions("micro") / f"{scores.sequences[0].name}.npz")
        assert stored.depth.shape[1:] == ((32, 32) if square else (24, 32))
