"""Benchmarks on folders as researchers have them: holes in depth, leftovers, frames drawn, sequences that failed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from book_project import ROOT, shipped_chapters
from little_benchmarks import micro, small
from writers.benchmarks import WRITERS
from writers.scene import room, tracked

from page4d.book.profiles import read_profile
from page4d.data.configured import settings_of
from page4d.data.datasets import ClipSelection, Sintel
from page4d.evaluate import (
    beside_quoted,
    depth_yardsticks,
    open_benchmark,
    pair_scores,
    quoted_rows,
    scores_table,
    true_cameras,
)
from page4d.evaluate.harness import Study
from page4d.evaluate.layouts import list_sequences
from page4d.evaluate.planted import Planted, plant
from page4d.evaluate.protocol import STANDARD, one_at_a_time
from page4d.schema import Notice, Scores, UserError
from page4d.train.setup import compose_run


def layout(dataset: str, root: Path, frames: int = 4) -> Path:
    """One sequence of a data set's own files."""
    root.mkdir()
    WRITERS[dataset](root, {"one": room(frames=frames)})
    return root


def test_what_a_depth_file_does_not_know_counts_as_no_measurement(tmp_path: Path) -> None:
    root = layout("nyu", tmp_path / "nyu")
    study = Study(open_benchmark("monodepth-nyu"), out=tmp_path / "out", root=root)
    holes = {0: np.nan, 1: np.inf, 2: -np.inf, 3: -1.0}
    paths = sorted((root / "nyu_depths").iterdir())
    scores = {}
    for kind in ("as files have it", "0"):
        for path in paths:
            depth = np.load(path)
            for row, value in holes.items():
                depth[row] = value if kind != "0" else 0
            np.save(path, depth)
        study.predict(micro(), "m")
        scores[kind] = study.score("m").mean
        (sequence,) = study.sequences()
        assert (sequence.read_depth(paths[0])[: len(holes)] == 0).all()
    assert scores["as files have it"] == scores["0"]


def test_hidden_folders_are_no_sequences_and_a_stray_picture_is_named_with_its_folder(tmp_path: Path) -> None:
    root = layout("kitti", tmp_path / "kitti")
    benchmark = open_benchmark("videodepth-kitti")
    (root / "image_gathered" / ".ipynb_checkpoints").mkdir()
    assert [one.name for one in list_sequences(root, benchmark, STANDARD)] == ["one"]
    pictures = root / "image_gathered" / "one"
    shutil.copy(next(pictures.iterdir()), pictures / "preview.png")
    with pytest.raises(UserError, match=r"image_gathered/one/preview\.png has no frame number"):
        list_sequences(root, benchmark, STANDARD)


def test_a_folder_that_is_not_whole_says_what_can_be_done(tmp_path: Path) -> None:
    sintel = layout("sintel", tmp_path / "sintel")
    benchmark = replace(open_benchmark("videodepth-sintel"), sequences=("one", "two"))
    with pytest.raises(UserError, match=r"not hold sequences two.*benchmark\.sequences=\[one\]"):
        list_sequences(sintel, benchmark, STANDARD)
    with pytest.raises(UserError, match=r"no usable sequence two .*There is one; .* data\.sequences"):
        Sintel(sintel, ClipSelection(sequences=("one", "two")))
    clips = layout("realestate10k", tmp_path / "re10k")
    with pytest.warns(Notice, match="one has 4 images, fewer than the 10 to draw"):
        list_sequences(clips, open_benchmark("relpose-realestate10k"), STANDARD)
    (clips / "test" / "two.txt").write_text((clips / "test" / "one.txt").read_text())
    with pytest.warns(Notice, match="1 of 2 clips of .* have no pictures in frames and are left out"):
        list_sequences(clips, open_benchmark("relpose-realestate10k"), STANDARD)
    scenes = layout("7scenes", tmp_path / "7scenes")
    with pytest.warns(Notice, match=r"seq-09 is not there, though TestSplit\.txt names it"):
        list_sequences(scenes, open_benchmark("surfaces-7scenes-sparse"), STANDARD)


def test_a_scene_of_one_frame_is_told_and_the_others_are_scored(tmp_path: Path) -> None:
    root = tmp_path / "davis"
    root.mkdir()
    WRITERS["davis"](root, {"short": tracked(frames=3).clip, "long": tracked(4, frames=3).clip})
    for path in sorted((root / "JPEGImages" / "480p" / "short").iterdir())[1:]:
        path.unlink()
    study = Study(replace(open_benchmark("mask-davis-2016"), sequences=("long", "short")), out=tmp_path, root=root)
    scores = study.run(micro(), "m")
    assert (scores.n, scores.of) == (1, 2)
    assert "between two or more" in str(scores.sequences[1].error)


def test_words_that_a_single_data_set_takes_otherwise_are_told() -> None:
    with pytest.raises(UserError, match=r"set it as \+data\.shapes\.frames=\[2,4\]"):
        compose_run(["data=folder", "paths.folder=x", "data.shapes.frames=[2,4]"])
    with pytest.raises(UserError, match=r"with files it is \+data\.shapes\.images_per_batch"):
        compose_run(["data=folder", "paths.folder=x", "data.batch_size=4"])
    with pytest.raises(UserError, match=r"batch_size is not a setting.*one of data=synthetic"):
        settings_of({"loader": "folder", "root": "x", "batch_size": 4})


def test_true_cameras_are_those_of_the_images_that_were_drawn(tmp_path: Path) -> None:
    root = layout("realestate10k", tmp_path / "re10k", frames=12)
    benchmark = replace(open_benchmark("relpose-realestate10k"), frames=5)
    (drawn,) = list_sequences(root, benchmark, STANDARD)
    frames, truth = true_cameras(drawn)
    assert (frames, truth.stamps.tolist()) == ([0, 1, 2, 3, 4], list(drawn.image_stamps))
    assert len(drawn.read_trajectory()) == 12


def test_a_frame_without_a_pose_has_no_true_camera(tmp_path: Path) -> None:
    root = layout("scannet", tmp_path / "scannet")
    poses = root / "one" / "pose_90.txt"
    rows = poses.read_text().splitlines()
    poses.write_text("\n".join([rows[0], " ".join(["-inf"] * 16), *rows[2:]]))
    (sequence,) = list_sequences(root, open_benchmark("pose-scannet"), STANDARD)
    frames, truth = true_cameras(sequence)
    assert frames == [0, 2, 3]
    assert truth.known.all()


def test_a_sequence_that_was_not_predicted_is_told_and_the_others_stay(tmp_path: Path) -> None:
    study = Study(small("pose"), out=tmp_path)
    model = micro()
    study.predict(model, "m")
    (study.predictions("m") / "scene_00.npz").unlink()
    (study.predictions("m") / "scene_00.failed.json").write_text(json.dumps({"error": "no memory"}))
    scores = study.score("m", model)
    assert [one.name for one in study.scored(scores)] == ["scene_01", "scene_02"]
    ours = pair_scores(study, ["m"])[0]
    assert (ours.n, ours.of, ours.sequences[0].error) == (2, 3, "no memory")


def test_each_row_of_a_table_says_its_own_data_set_and_unit(tmp_path: Path) -> None:
    study = Study(small("pose", sequences=2), out=tmp_path)
    plant(study, "a", Planted(translation=0.1))
    metres = study.score("a")
    units = {name: unit.replace("m", "Sintel unit") for name, unit in metres.units.items()}
    film: Scores = replace(metres, benchmark="pose-sintel", units=units)
    assert beside_quoted([metres, film], quoted_rows("pose"))["dataset"].tolist()[:2] == ["synthetic", "sintel"]
    table = scores_table([metres, film], intervals=True)
    assert table["ATE (m) ↓"].notna().tolist() == [True, False]
    assert table["ATE (Sintel unit) ↓"].notna().tolist() == [False, True]
    assert table["ATE (Sintel unit) ↓ low"].notna().tolist() == [False, True]
    assert table["RPE r (deg) ↓"].notna().all()
    assert [name for name in scores_table([metres]) if "Sintel" in name] == []


def test_a_perfect_network_stays_perfect_in_a_long_film_with_clamped_depth(tmp_path: Path) -> None:
    clip = room(frames=5)
    root = tmp_path / "dycheck"
    root.mkdir()
    WRITERS["dycheck"](root, {"one": replace(clip, depth=clip.depth.clamp(max=3.0))})
    benchmark = replace(open_benchmark("videodepth-dycheck"), sequences=("one",))
    for name, protocol in one_at_a_time("videodepth").items():
        if protocol.max_frames is not None:
            protocol = replace(protocol, max_frames=3)
        if name not in ("depth_source", "public"):
            study = Study(benchmark, protocol, out=tmp_path / "out", root=root)
            folder = plant(study, "perfect", Planted())
            assert study.score_folder(folder, "perfect").mean["abs_rel"] == pytest.approx(0, abs=1e-5), name


def test_answers_without_a_network_have_no_more_pixels_than_a_network_gives(tmp_path: Path) -> None:
    world = {"height": 8, "width": 520, "frames": 1}
    benchmark = replace(small("monodepth"), settings={"split": "dynamic-test", "sequences": 1, "world": world})
    study = Study(benchmark, out=tmp_path)
    constant, _ = depth_yardsticks(study)
    stored = np.load(study.predictions("one constant depth") / "scene_00.npz")
    assert stored["depth"].shape == (1, 8, 518)
    assert stored["original_hw"].tolist() == [[8, 520]]
    assert constant.sequences[0].notes["covered"] == 1.0


def test_the_gpu_profile_gives_planted_errors_a_layout_with_cameras(tmp_path: Path) -> None:
    profile = read_profile(ROOT, "gpu", shipped_chapters())
    dataset = profile.parameters["14_what_the_protocol_is_worth"]["benchmark"]
    benchmark = open_benchmark(f"videodepth-{dataset}")
    first = benchmark.sequences[0]
    WRITERS[dataset](tmp_path, {first: tracked(frames=3).clip})
    (sequence,) = list_sequences(tmp_path, replace(benchmark, sequences=(first,)), STANDARD)
    assert sequence.read_camera is not None
