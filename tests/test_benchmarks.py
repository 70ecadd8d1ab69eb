"""Benchmarks, tasks and metrics: one row or one file each, and names that once were are still understood."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from little_benchmarks import small
from writers.benchmarks import WRITERS
from writers.scene import room

from page4d import config
from page4d.cli import main
from page4d.config import choices
from page4d.evaluate import open_benchmark, open_study
from page4d.evaluate.harness import Study
from page4d.evaluate.old_names import current_name, current_options, current_word, former_name, read_scores
from page4d.evaluate.planted import Planted, plant
from page4d.evaluate.protocol import STANDARD, with_options
from page4d.evaluate.tables import scores_table
from page4d.evaluate.tasks import TASKS, Task
from page4d.metrics import METRICS, Metric
from page4d.schema import Scores, SequenceScore, UserError
from page4d.train.setup import compose_run


def test_every_score_of_a_task_is_in_the_one_table():
    for name, task in TASKS.items():
        assert set(task.metrics) <= METRICS.keys(), name
        assert set(task.headline) <= set(task.metrics), name
    named = {metric for task in TASKS.values() for metric in task.metrics}
    assert len({METRICS[metric].heading for metric in named}) == len(named)
    assert TASKS["pose"].units("cm") == {"ate": "cm", "rpe_trans": "cm", "rpe_rot_deg": "deg"}


@pytest.mark.parametrize("name", choices("benchmark"))
def test_a_benchmark_is_called_as_its_file(name):
    benchmark = open_benchmark(name)
    assert benchmark.name == name
    assert benchmark.dataset in choices("dataset")
    assert benchmark.task in TASKS


@pytest.mark.parametrize(("data", "count"), [("sintel", 14), ("bonn", 5), ("tum", 8)])
def test_training_data_read_the_same_lists(data, count):
    ours = compose_run([f"data={data}"])["data"]["sequences"]
    assert len(ours) == count
    key = "fourteen" if data == "sintel" else "sequences"
    assert [name.removeprefix("rgbd_bonn_") for name in ours] == config.names_of_dataset(data, key)


def test_a_list_that_is_not_there_is_named():
    for dataset, key in (("sintel", "fifteen"), ("sintl", "fourteen")):
        with pytest.raises(UserError, match="has no list of that name"):
            config.names_of_dataset(dataset, key)


@pytest.fixture
def own_conf(tmp_path, monkeypatch) -> Path:
    """A copy of the shipped configuration that a test may add to."""
    folder = tmp_path / "conf"
    shutil.copytree(config.conf_folder(), folder)
    monkeypatch.setattr(config, "conf_folder", lambda: folder)
    return folder


def test_a_benchmark_on_a_known_layout_is_one_file(own_conf, tmp_path):
    text = "defaults: [/dataset/sintel@_here_, _self_]\ntask: points\nvariant: pair\nsequences: [one, two]\n"
    (own_conf / "benchmark" / "points-sintel-pair.yaml").write_text(text)
    assert "points-sintel-pair" in choices("benchmark")
    root = tmp_path / "sintel"
    root.mkdir()
    moving = {"frames": 3, "camera_speed": (0.5, 0.5), "tripod_chance": 0.0}
    WRITERS["sintel"](root, {"one": room(3, **moving), "two": room(4, **moving)})
    study = Study(open_benchmark("points-sintel-pair"), root=root, out=tmp_path / "out")
    plant(study, "perfect", Planted())
    scores = study.score("perfect")
    assert (scores.n, scores.benchmark) == (2, "points-sintel-pair")
    assert scores.mean["overall_mean"] < 1e-3


def test_a_task_is_a_function_a_row_and_its_metrics(own_conf, tmp_path, monkeypatch):
    def score_middle(sequence, prediction, rules):
        return SequenceScore(sequence.name, {"middle_depth": float(np.median(prediction.depth))}, 1.0)

    monkeypatch.setitem(METRICS, "middle_depth", Metric("middle", "length", "higher", "median depth"))
    task = Task(score_middle, "ours", "no", ("middle_depth",), ("middle_depth",))
    monkeypatch.setitem(TASKS, "middle", task)
    text = "defaults: [/dataset/synthetic@_here_, _self_]\ntask: middle\n"
    (own_conf / "benchmark" / "middle-synthetic.yaml").write_text(text)
    settings = small("pose").settings
    study = Study(replace(open_benchmark("middle-synthetic"), settings=settings), out=tmp_path)
    plant(study, "perfect", Planted())
    scores = study.score("perfect")
    assert scores.mean["middle_depth"] > 0
    assert list(scores_table([scores]).columns)[-1] == "middle (m) ↑"


def test_a_task_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match="'posse' does not exist; there are monodepth, videodepth"):
        Study(replace(small("pose"), task="posse"), out=tmp_path)


@pytest.mark.parametrize(
    ("once", "now"),
    [
        ("synthetic-pose", "pose-synthetic"),
        ("monodepth-dyncheck", "monodepth-dycheck"),
        ("pose-sintel", "pose-sintel"),
        ("dyncheck", "dycheck"),
    ],
)
def test_names_that_once_were(once, now):
    assert current_name(once) == now == current_name(now)
    assert former_name(now) == once


def test_the_command_line_and_chapters_understand_old_names(tmp_path, capsys):
    assert current_word("options.dyncheck_camera=all") == "options.dycheck_camera=all"
    assert current_word("options.alignment=public") == "options.solver=public"
    assert with_options(STANDARD, alignment="public") == with_options(STANDARD, solver="public")
    assert current_options({"name": "standard+alignment=public"}) == {"name": "standard+solver=public"}
    assert current_word("weights=synthetic-pose") == "weights=synthetic-pose"
    assert open_study("pose", "dyncheck", out=tmp_path).benchmark.name == "pose-dycheck"
    assert open_benchmark("synthetic-points").name == "points-synthetic"
    assert main(["evaluate", "run", "benchmark=pose-dyncheck", "options.dyncheck_camera=all"]) == 2
    assert "pose-dycheck needs root=FOLDER" in capsys.readouterr().err


def test_files_written_under_old_names_are_read(tmp_path):
    study = Study(small("pose"), out=tmp_path)
    folder = plant(study, "perfect", Planted())
    scores = study.score("perfect")
    once = folder.parent.with_name(folder.parent.name.replace("pose-synthetic", "synthetic-pose")) / folder.name
    once.parent.mkdir(parents=True)
    folder.rename(once)
    inputs = {"input_shape": "keep_aspect", "portrait": "pad", "dyncheck_camera": "0"}
    origin = json.loads((once / "folder.json").read_text()) | {"benchmark": "synthetic-pose", "inputs": inputs}
    (once / "folder.json").write_text(json.dumps(origin))
    assert study.predictions("perfect") == once
    assert study.score("perfect").mean == scores.mean
    stored = json.loads(study.scores_file("perfect").read_text())
    stored["benchmark"] = "synthetic-pose"
    stored["protocol"]["dyncheck_camera"] = stored["protocol"].pop("dycheck_camera")
    stored["protocol"]["alignment"] = stored["protocol"].pop("solver")
    old = tmp_path / "old.json"
    old.write_text(json.dumps(stored))
    assert Scores.load(old).benchmark == "synthetic-pose"
    read = read_scores(old)
    assert read.benchmark == "pose-synthetic"
    assert read.protocol["dycheck_camera"] == "0"
    assert scores_table([read, scores])["benchmark"].nunique() == 1


def test_a_list_that_a_protocol_asks_for_is_run_or_refused(tmp_path):
    root = tmp_path / "sintel"
    root.mkdir()
    WRITERS["sintel"](root, {name: room(3, frames=2) for name in ("one", "two")})
    benchmark = replace(open_benchmark("videodepth-sintel"), sequences=("one", "two"), left_out_by_public=())
    shorter = with_options(STANDARD, sequences="fourteen")
    study = Study(replace(benchmark, fourteen=("two",)), shorter, root=root, out=tmp_path)
    assert [sequence.name for sequence in study.sequences()] == ["two"]
    with pytest.raises(UserError, match="no list `fourteen`, which sequences=fourteen asks for"):
        Study(replace(benchmark, fourteen=()), shorter, root=root, out=tmp_path).sequences()
