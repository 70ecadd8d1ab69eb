"""`page4d evaluate` from the outside: actions, mistakes, processes, a kill."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from little_benchmarks import micro, small

from page4d.cli import evaluate, main
from page4d.evaluate import study_of
from page4d.evaluate.external import check_not_turned
from page4d.evaluate.harness import Study
from page4d.evaluate.opening import EvaluationSettings
from page4d.schema import UserError
from page4d.settings import build


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    from page4d.model.weights import save_weights

    path = tmp_path / "micro.safetensors"
    save_weights(micro(), path)
    return path


WORDS = ["benchmark=videodepth-synthetic", "benchmark.settings.sequences=3", "benchmark.left_out_by_public=[]"]
WORDS += [
    "benchmark.settings.world.height=32",
    "benchmark.settings.world.width=40",
    "benchmark.settings.world.frames=4",
]


def test_the_command_runs_scores_and_prints_tables(weights, tmp_path, capsys):
    words = [*WORDS, f"weights={weights}", f"out={tmp_path / 'out'}", "label=micro"]
    assert main(["evaluate", "run", *words]) == 0
    assert main(["evaluate", "run", *words, "protocol=public"]) == 0
    assert main(["evaluate", "score", *words, "options.depth_source=world_z"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "table", f"out={tmp_path / 'out'}"]) == 0
    text = capsys.readouterr().out
    assert "standard+depth_source=world_z" in text
    assert text.count("| micro |") == 3
    assert (tmp_path / "out" / "tables" / "videodepth.tex").exists()
    next((tmp_path / "out" / "predictions").glob("**/scene_01.npz")).unlink()
    assert main(["evaluate", "score", *words, "protocol=public"]) in (0, 1)
    for path in (tmp_path / "out" / "predictions").glob("**/scene_01.npz"):
        path.unlink()
    assert main(["evaluate", "score", *words]) == 1
    out = capsys.readouterr().out
    assert "2/3" in out
    assert "scene_01: not predicted" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "benchmark=videodepth-sintl"], "near: videodepth-sintel"),
        (["run", "benchmark=pose-tum"], "needs root=FOLDER"),
        (["run", "benchmark=pose-tum", "root=/nonexistent"], "is no folder; expected TUM RGB-D"),
        (["score", "protocl=public"], "near: protocol"),
        (["table", "out=/nonexistent"], "holds no Scores"),
    ],
)
def test_mistakes_end_with_2_and_a_sentence(words, message, capsys, weights):
    assert main(["evaluate", words[0], f"weights={weights}", *words[1:]]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["align=median"], "choose one of 'scale', 'scale&shift', 'metric'"),
        (["moving=optical"], "choose one of 'geometric', 'model'"),
        (["icp=open3d"], "choose one of 'point_to_point', 'none'"),
        (["followed=flow"], "choose one of 'pixels', 'tracker', 'file'"),
        (["device=meta"], "device is 'meta'; expected cpu, cuda"),
        (["benchmark=mask-synthetic", "protocol=public"], "only protocol=standard exists"),
        (["benchmark=features-davis", "protocol=standard"], "has no ground truth and nothing is scored"),
    ],
)
def test_what_cannot_be_scored_is_told_before_anything_is_rendered(words, message, tmp_path, capsys):
    words = ["benchmark=videodepth-synthetic", *words] if len(words) == 1 else words
    assert main(["evaluate", "run", "weights=tiny", f"out={tmp_path / 'out'}", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("task", "choice", "message"),
    [
        ("tracks3d", {"followed": "tracker"}, "no track head; take vggt"),
        ("tracks3d", {"followed": "file"}, "scores converted tracks"),
        ("mask", {"moving": "model"}, "run without a mask"),
    ],
)
def test_what_a_network_does_not_say_is_refused_before_it_predicts(task, choice, message, tmp_path):
    study = Study(small(task), out=tmp_path / "out", **choice)
    with pytest.raises(UserError, match=message):
        study.run(micro(), "micro")
    assert not (tmp_path / "out").exists()
    Study(small("videodepth"), out=tmp_path / "out", **choice).check(micro())  # where the choice is not asked for


def test_a_file_in_the_place_of_the_results_is_told_first(tmp_path, capsys):
    (tmp_path / "file").touch()
    words = ["benchmark=videodepth-synthetic", "weights=nowhere.pt", f"out={tmp_path / 'file'}"]
    assert main(["evaluate", "run", *words]) == 2
    assert "file is a file; expected a folder to write into" in capsys.readouterr().err


def test_score_by_the_name_of_weights_checks_them_and_by_label_does_not(weights, tmp_path, capsys):
    from page4d.model.weights import save_weights

    words = [*WORDS, f"weights={weights}", f"out={tmp_path / 'out'}"]
    assert main(["evaluate", "run", *words]) == 0
    assert main(["evaluate", "score", *words]) == 0
    save_weights(micro(1), weights)
    assert main(["evaluate", "score", *words]) == 2
    assert "weights_sha256" in capsys.readouterr().err
    assert main(["evaluate", "score", *words, f"label={weights.name}"]) == 0


def test_convert_prints_the_command_that_scores(tmp_path, capsys):
    from page4d.io.depth_formats import read_dpt

    depth, root = tmp_path / "their depth", tmp_path / "out" / "data"
    words = [*WORDS, f"out={tmp_path / 'out'}", "label=other"]
    assert main(["evaluate", "convert", *words, "--depth", str(depth)]) == 2  # renders the synthetic scenes
    for path in root.glob("**/depth/*/*.dpt"):
        stored = np.maximum(read_dpt(path), 0.1)  # the sky has none
        stored[:4] = 0
        (depth / path.parent.name).mkdir(parents=True, exist_ok=True)
        np.save(depth / path.parent.name / f"{path.stem}.npy", stored)
    capsys.readouterr()
    assert main(["evaluate", "convert", *words, "align=scale&shift", "--depth", str(depth)]) == 0
    share, _, command = capsys.readouterr().out.splitlines()
    assert share.startswith("12.50% of the depths are 0 or less")
    page4d, *score = shlex.split(command)
    assert page4d == "page4d"
    assert main(score) == 0
    assert "| other (external) | standard | scale&shift | 3/3 |" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["align=scale&shift", "align=scale_and_shift"])
def test_scale_and_shift_can_be_asked_for(word):
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    config = evaluate.settings(parser.parse_args(["score", "benchmark=videodepth-sintel", word]))
    assert study_of(config).align == "scale&shift"


def test_a_missing_folder_is_told_before_weights_are_loaded(tmp_path, capsys):
    assert main(["evaluate", "predict", "benchmark=pose-tum", f"weights={tmp_path / 'absent.safetensors'}"]) == 2
    assert "needs root=FOLDER" in capsys.readouterr().err


def test_the_list_needs_no_action(capsys):
    assert main(["evaluate", "--list"]) == 0
    assert "pose-tum" in capsys.readouterr().out.split()
    assert main(["evaluate"]) == 2
    assert "--list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "switch"), [("off", False), ("no", False), ("false", False), ("on", True), ("Yes", True)]
)
def test_words_are_switches(word, switch):
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    words = ["score", "benchmark=videodepth-sintel", f"mask={word}", f"legacy_quaternion_order={word}"]
    chosen = build(EvaluationSettings, evaluate.settings(parser.parse_args(words)), "evaluate")
    assert (chosen.mask, chosen.legacy_quaternion_order) == (switch, switch)


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("mask=maybe", "evaluate.mask is 'maybe', expected true or false"),
        ("legacy_quaternion_order=2", "evaluate.legacy_quaternion_order is 2, expected true or false"),
        ("mask=[true]", "evaluate.mask is [True], expected true or false"),
        ("root=[a,b]", "evaluate.root is ['a', 'b'], expected text"),
        ("weights=null", "evaluate.weights is None, expected text"),
        ("options=3", "evaluate.options is 3, expected a mapping"),
    ],
)
def test_a_setting_of_another_type_is_refused(word, complaint, capsys):
    assert main(["evaluate", "score", "benchmark=videodepth-sintel", word]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--legacy-quaternion-order"]])
def test_old_quaternion_order_is_a_flag(words):
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    config = evaluate.settings(parser.parse_args(["score", "benchmark=pose-tum", *words]))
    assert config["legacy_quaternion_order"] is bool(words)


@pytest.mark.slow
def test_scoring_a_long_sequence_takes_under_ten_seconds():
    script = Path(__file__).parent.parent / "benchmarks" / "scoring.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    # One thread does the work, so this is the wall clock of an idle machine.
    assert json.loads(done.stdout)["scoring"]["cpu_s"] < 10


@pytest.mark.slow
def test_two_processes_share_a_run_and_one_of_them_scores(weights, tmp_path):
    words = ["evaluate", "run", *WORDS, f"weights={weights}", f"out={tmp_path / 'out'}", "label=micro", "device=cpu"]
    script = tmp_path / "launched.py"
    script.write_text("import sys\nfrom page4d.cli import main\nsys.exit(main(sys.argv[1:]))\n")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29613"]
    done = subprocess.run([*launch, str(script), *words], capture_output=True, text=True, check=True)
    assert done.stdout.count(": done") == 3
    assert done.stdout.count("| micro |") == 1
    assert "3/3" in done.stdout


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(weights, tmp_path):
    words = ["evaluate", "predict", *WORDS, f"weights={weights}", f"out={tmp_path / 'out'}", "label=micro"]
    words += ["benchmark.settings.sequences=12"]
    command = [sys.executable, "-c", "import sys; from page4d.cli import main; sys.exit(main(sys.argv[1:]))", *words]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    for _ in range(3):
        running.stdout.readline()
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    time.sleep(0.1)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert sum(line.endswith(": there") for line in lines) >= 3
    assert sum(line.endswith((": there", ": done")) for line in lines) == 12
    folder = next((tmp_path / "out" / "predictions").glob("**/folder.json")).parent
    assert json.loads((folder / "folder.json").read_text())["label"] == "micro"
    assert len(list(folder.glob("*.npz"))) == 12


def test_maps_of_another_model_may_be_squeezed_but_not_turned() -> None:
    wide, tall = np.array([[48, 64]]), np.array([[64, 48]])
    for shape in ((48, 64), (24, 32), (56, 56), (40, 64)):
        check_not_turned(np.ones((1, *shape), np.float32), wide, "apple")
    for size, shape in ((wide, (64, 48)), (tall, (48, 64))):
        with pytest.raises(UserError, match=r"apple: depth maps of .*; are the maps transposed"):
            check_not_turned(np.ones((1, *shape), np.float32), size, "apple")
