"""The two loops: going on after a kill, memory that does not suffice, mismatches, foreign results, the command."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from little_benchmarks import micro, small
from PIL import Image

from page4d.evaluate import open_benchmark
from page4d.evaluate import predictions as loop
from page4d.evaluate.external import ExternalFiles, convert
from page4d.evaluate.harness import Study
from page4d.evaluate.protocol import PUBLIC, STANDARD, with_options
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.tables import failures, scores_table
from page4d.io.trajectories import Trajectory, read_tum, write_tum
from page4d.model import PAGE4D
from page4d.schema import Prediction, Scores, UserError


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(small("videodepth"), STANDARD, out=tmp_path)


def outcomes(study: Study, model: PAGE4D) -> dict[str, str]:
    seen: dict[str, str] = {}
    study.predict(model, "m", seen.__setitem__)
    return seen


def test_what_is_there_is_not_predicted_again_and_a_damaged_file_is(study, monkeypatch):
    model = micro()
    assert set(outcomes(study, model).values()) == {"done"}
    folder = study.predictions("m")
    before = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.npz")}
    (folder / "scene_01.npz").write_bytes((folder / "scene_01.npz").read_bytes()[:1000])
    assert outcomes(study, model) == {"scene_00": "there", "scene_01": "done", "scene_02": "there"}
    after = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.npz")}
    assert [name for name in before if before[name] != after[name]] == ["scene_01.npz"]


def test_a_sequence_out_of_memory_is_listed_and_the_rest_is_averaged(study, monkeypatch):
    model, run = micro(), loop.predict

    def short_of_memory(model, frames, **options):
        if calls.append(1) or len(calls) == 2:
            raise UserError("4 frames do not fit into the memory of cuda") from torch.OutOfMemoryError("no")
        return run(model, frames, **options)

    calls: list[int] = []
    monkeypatch.setattr(loop, "predict", short_of_memory)
    assert study.predict(model, "m") == 1
    scores = study.score("m", model)
    assert (scores.n, scores.of) == (2, 3)
    assert "do not fit into the memory" in failures([scores])[0]
    assert scores_table([scores])["n"].tolist() == ["2/3"]
    kept = [s for s in scores.sequences if s.error is None]
    weights = np.array([s.weight for s in kept])
    mean = weights @ [s.values["abs_rel"] for s in kept] / weights.sum()
    assert scores.mean["abs_rel"] == pytest.approx(mean)
    (study.predictions("m") / "scene_01.failed.json").write_text('{"err')
    assert "not predicted, and scene_01.failed.json is damaged" in failures([study.score("m", model)])[0]
    monkeypatch.setattr(loop, "predict", run)
    assert outcomes(study, model)["scene_01"] == "done"  # a later run tries it again
    assert study.score("m", model).n == 3
    assert not list(study.predictions("m").glob("*.failed.json"))


def test_another_error_ends_the_run(study, monkeypatch):
    image = study.sequences()[1].images[0]
    image.write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        study.predict(micro(), "m")


def test_other_weights_inputs_images_and_versions_are_refused(study):
    study.run(micro(), "m")
    with pytest.raises(UserError, match="weights_sha256"):
        study.predict(micro(1), "m")
    with pytest.raises(UserError, match="weights_sha256"):
        study.score("m", micro(1))
    newer = replace(study, benchmark=replace(study.benchmark, version=study.benchmark.version + 1))
    with pytest.raises(UserError, match="version 3, asked to score"):
        newer.score("m")
    squashed = replace(study, protocol=with_options(STANDARD, input_shape="squash"))
    with pytest.raises(UserError, match="the network saw"):
        squashed.score_folder(study.predictions("m"), "m")
    path = study.predictions("m") / "scene_00.npz"
    stored = loop.Prediction.load(path)
    replace(stored, meta=stored.meta | {"weights_sha256": "0" * 64}).save(path)
    with pytest.raises(UserError, match="another network than the folder says"):
        study.score("m")
    replace(stored, frame_names=("x", *stored.frame_names[1:])).save(path)
    with pytest.raises(UserError, match="images have changed"):
        study.score("m")
    path.unlink()
    assert study.score("m").sequences[0].error == "not predicted"


def test_predictions_that_are_not_finite_fail_their_sequence(study):
    study.run(micro(), "m")
    path = study.predictions("m") / "scene_02.npz"
    stored = loop.Prediction.load(path)
    stored.depth[0, 0, 0] = np.nan
    stored.save(path)
    scores = study.score("m")
    assert scores.n == 2
    assert scores.sequences[2].error == "1 predicted depths are not finite"


@pytest.mark.parametrize("task", ["monodepth", "videodepth"])
def test_predictions_that_cannot_be_aligned_fail_their_sequence(task, tmp_path):
    study = Study(small(task), with_options(STANDARD, solver="public"), out=tmp_path)
    study.run(micro(), "m")
    path = study.predictions("m") / "scene_01.npz"
    stored = loop.Prediction.load(path)
    stored.depth[1:] = 0
    if task == "videodepth":
        stored.depth[:] = 0
    stored.save(path)
    scores = study.score("m")
    assert scores.n == 2
    assert "predicted depths is 0; scaling needs" in str(scores.sequences[1].error)


def test_processes_share_the_sequences(study, monkeypatch):
    sequences = study.sequences()
    monkeypatch.setenv("WORLD_SIZE", "2")
    shares = []
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        shares.append([s.name for s in loop.share_of_this_process(sequences)])
    assert shares == [["scene_00", "scene_02"], ["scene_01"]]


def test_scores_travel_as_json_and_hold_their_origin(study, tmp_path):
    model = micro()
    scores = study.run(model, "m")
    stored = Scores.load(study.scores_file("m"))
    assert stored == scores
    assert stored.origin["weights_sha256"] == loop.weights_sha256(model)
    assert stored.origin["hardware"] == "cpu"
    assert len(stored.sequences[0].items["abs_rel"]) == 4
    assert stored.sequences[0].item_names[0] == "frame_0001.png"
    text = study.scores_file("m").read_text()
    (tmp_path / "cut.json").write_text(text[:200])
    with pytest.raises(UserError, match="not a whole Scores file"):
        Scores.load(tmp_path / "cut.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a whole Scores file"):
        Scores.load(tmp_path / "binary.json")
    (tmp_path / "new.json").write_text(text.replace('"format": 1', '"format": 9', 1))
    with pytest.raises(UserError, match="Scores format 9"):
        Scores.load(tmp_path / "new.json")
    with pytest.raises(ValueError, match="JSON"):
        replace(scores, mean={"abs_rel": float("nan")}).save(tmp_path / "nan.json")
    assert not (tmp_path / "nan.json").exists()


def test_foreign_results_enter_the_same_table(study, tmp_path):
    depth = tmp_path / "other" / "depth"
    for sequence in study.sequences():
        (depth / sequence.name).mkdir(parents=True)
        for image, truth in zip(sequence.images, sequence.depths, strict=True):
            np.save(depth / sequence.name / f"{image.stem}.npy", 2 * sequence.read_depth(truth))
    folder = study.predictions("CUT3R")
    made = convert(study.sequences(), ExternalFiles("CUT3R", depth), folder, study.benchmark)
    assert (made.sequences, made.empty) == (3, 0)
    scores = study.score("CUT3R")
    assert scores.origin["source"] == "external"
    assert scores.mean["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert scores_table([scores, study.run(micro(), "m")])["model"].tolist() == ["CUT3R (external)", "m"]
    with pytest.raises(UserError, match="world z cannot be made"):
        replace(study, protocol=PUBLIC).score_folder(folder, "CUT3R")
    with pytest.raises(UserError, match="give --depth"):
        convert(study.sequences(), ExternalFiles("x", trajectories=tmp_path), tmp_path / "x", study.benchmark)
    one = depth / "scene_00" / "frame_0002.npy"
    for fill, message in ((np.nan, "4 of 16 depths are not finite"), (0, "no depth is above 0")):
        stored = np.zeros((4, 4))
        stored[0] = fill
        np.save(one, stored)
        with pytest.raises(UserError, match=f"frame_0002.npy: {message}"):
            convert(study.sequences(), ExternalFiles("x", depth), tmp_path / "x", study.benchmark)
    one.unlink()
    with pytest.raises(UserError, match=r"frame_0002.npy does not exist"):
        convert(study.sequences(), ExternalFiles("x", depth), tmp_path / "x", study.benchmark)


def test_foreign_trajectories_are_scored_and_counted(tmp_path):
    study = Study(small("pose"), STANDARD, out=tmp_path)
    (tmp_path / "traj").mkdir()
    for sequence in study.sequences():
        write_tum(tmp_path / "traj" / f"{sequence.name}.txt", sequence.read_trajectory())
    files = ExternalFiles("MonST3R", trajectories=tmp_path / "traj")
    convert(study.sequences(), files, study.predictions("MonST3R"), study.benchmark)
    assert study.score("MonST3R").mean["ate"] == pytest.approx(0, abs=1e-5)
    short = read_tum(tmp_path / "traj" / "scene_00.txt").select([0, 1])
    write_tum(tmp_path / "traj" / "scene_00.txt", short)
    with pytest.raises(UserError, match="2 poses for 4 images"):
        convert(study.sequences(), files, tmp_path / "again", study.benchmark)


@pytest.mark.parametrize("legacy", [False, True])
def test_pose_files_are_true_tum_with_the_stamps_of_the_truth(legacy, tmp_path):
    study = Study(small("pose"), STANDARD, out=tmp_path, legacy_quaternion_order=legacy)
    scores = study.run(micro(), "m")
    files = study.scores_file("m").parent / f"{study.scores_file('m').stem}-files"
    one = files / "scene_00"
    assert (one / "pred_traj.txt").read_text().split()[0] == "1.000000"  # Sintel counts frames from 1
    assert (files / "scene_00_eval_metric.txt").read_text().startswith("Seq: scene_00")
    assert (files / "scene_00_traj_error.png").exists()
    rows, truth = np.loadtxt(one / "pred_traj.txt"), loop.Prediction.load(study.predictions("m") / "scene_00.npz")
    reordered = rows[:, [0, 1, 2, 3, 5, 6, 7, 4]] if legacy else rows
    write_tum(tmp_path / "x.txt", Trajectory(read_rows(reordered), reordered[:, 0]))
    poses = np.linalg.inv(read_rows(reordered))
    np.testing.assert_allclose(poses[:, :3], truth.cam_from_world, atol=1e-5)
    if legacy:
        return
    command = [str(Path(sys.executable).parent / "evo_ape"), "tum", "gt_traj.txt", "pred_traj.txt", "-as"]
    env = {"HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=one, capture_output=True, text=True, check=True, env=env)
    rmse = float(next(line.split()[1] for line in done.stdout.splitlines() if line.strip().startswith("rmse")))
    assert rmse == pytest.approx(scores.sequences[0].values["ate"], abs=2e-6)


def read_rows(rows: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = Rotation.from_quat(rows[:, 4:]).as_matrix(), rows[:, 1:4]
    return poses


def test_foreign_depth_belongs_to_pictures_as_they_are_held(tmp_path):
    paths = (tmp_path / "turned.jpg", tmp_path / "other.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright: a quarter turn
    Image.new("RGB", (40, 24)).save(paths[0], exif=exif)
    Image.new("RGB", (30, 20)).save(paths[1])
    (tmp_path / "depth" / "s").mkdir(parents=True)
    for path in paths:
        np.save(tmp_path / "depth" / "s" / f"{path.stem}.npy", np.ones((8, 6)))
    sequence = EvalSequence("s", paths, (0.0, 1.0))
    convert([sequence], ExternalFiles("x", tmp_path / "depth"), tmp_path / "out", open_benchmark("monodepth-bonn"))
    stored = Prediction.load(tmp_path / "out" / "s.npz")
    assert stored.original_hw.tolist() == [[40, 24], [20, 30]]
    assert stored.box_in_original.tolist() == [[0, 0, 24, 40], [0, 0, 30, 20]]
    paths[1].write_text("no picture")
    with pytest.raises(UserError, match=r"other.png is not an image"):
        convert([sequence], ExternalFiles("x", tmp_path / "depth"), tmp_path / "x", open_benchmark("monodepth-bonn"))


def test_transparent_pictures_of_a_benchmark_are_squashed_with_what_they_leave_out(tmp_path):
    pixels = np.full((24, 40, 4), 255, np.uint8)
    pixels[:, :20, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    sequence = EvalSequence("s", (tmp_path / "a.png",), (0.0,))
    frames = loop.load_inputs(sequence, {"portrait": "crop", "input_shape": "squash"}, micro())
    assert frames.kept is not None
    assert frames.kept.shape == (1, 32, 32) == (1, *frames.size_hw)
    assert not frames.kept[:, :, :16].any()
    assert frames.kept[:, :, 16:].all()


def test_tracks_that_do_not_fit_into_memory_fail_their_sequence_and_are_tried_again(tmp_path, monkeypatch):
    study = Study(small("videodepth", sequences=2), STANDARD, out=tmp_path)
    origin = loop.origin_of(micro(), "m", study.benchmark, STANDARD)
    monkeypatch.setattr(loop, "run_sequence", lambda *args: SimpleNamespace(save=lambda path: path.write_text("made")))
    full: list[int] = []

    def short_of_memory(model, sequence, origin, path):
        assert not path.exists(), "the prediction says that all is there"
        if full.append(1) or len(full) == 1:
            raise UserError("too many points") from torch.OutOfMemoryError("no")

    monkeypatch.setattr(loop, "save_tracks", short_of_memory)
    model, task = SimpleNamespace(track_head=1), SimpleNamespace(with_tracks=True)
    said = list(loop.predict_benchmark(model, study.sequences(), tmp_path / "p", origin, task))
    assert [outcome for _, outcome in said] == ["failed", "done"]
    assert sorted(path.name for path in (tmp_path / "p").glob("scene*")) == ["scene_00.failed.json", "scene_01.npz"]
