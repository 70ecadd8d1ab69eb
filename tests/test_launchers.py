"""Job scripts and launchers: a script says what the programs take, and processes take every film once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from page4d.cli import _add_arguments, command_parser
from page4d.processes import wait_for_others
from page4d.stored import StoredPrediction

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "conf" / "launch" / "predict.sbatch"
BIN = Path(sys.executable).parent
# Stands where `accelerate` would and writes down its words.
STAND_IN = """#!/bin/bash
python3 -c 'import json, sys; json.dump(sys.argv[2:], open(sys.argv[1], "w"))' "$SAID" "$@"
"""


def words_of_script(folder: Path, **slurm: str) -> list[str]:
    """What the script tells accelerate, in a job with these variables."""
    stand_in, said = folder / "accelerate", folder / "said.json"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    here = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    environment = here | {"PATH": f"{folder}:{os.environ['PATH']}", "SAID": str(said)} | slurm
    subprocess.run(["bash", str(SCRIPT), "out folder", "a b.mp4", "c.mp4"], env=environment, check=True)
    return list(json.loads(said.read_text()))


def test_the_job_script_is_bash() -> None:
    assert subprocess.run(["bash", "-n", str(SCRIPT)], check=False).returncode == 0


@pytest.mark.parametrize(
    ("slurm", "processes", "shard"),
    [
        ({}, 1, (1, 1)),
        ({"SLURM_GPUS_ON_NODE": "4", "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"}, 4, (2, 3)),
    ],
)
def test_the_job_script_says_what_the_programs_take(
    tmp_path: Path, slurm: dict[str, str], processes: int, shard: tuple[int, int]
) -> None:
    launch = pytest.importorskip("accelerate.commands.launch").launch_command_parser()
    said = words_of_script(tmp_path, **slurm)
    assert said[0] == "launch"
    launched = launch.parse_args(said[1:])
    assert (launched.num_processes, launched.module, launched.training_script) == (processes, True, "page4d")
    assert launched.training_script_args[0] == "predict"
    _, commands = command_parser()
    _add_arguments(commands["predict"], "predict")
    args = commands["predict"].parse_args(launched.training_script_args[1:])
    assert args.inputs == [Path("a b.mp4"), Path("c.mp4")]
    assert (args.out, args.each, args.shard) == (Path("out folder"), True, shard)
    assert (args.weights, args.window, args.overlap) == ("nomask", 64, 8)


def test_nobody_waits_for_processes_that_nothing_says_where_to_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    wait_for_others()
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    wait_for_others()


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True], ids=["all good", "one fails"])
def test_two_processes_take_every_clip_once(tmp_path: Path, broken: bool) -> None:
    """A failing clip ends its process with an error, but only when the other process is done as well."""
    pytest.importorskip("accelerate")
    clips = [tmp_path / name for name in ("bad", "b", "c", "d")]
    rng = np.random.default_rng(0)
    for i, clip in enumerate(clips):
        clip.mkdir()
        # The process that has no bad clip has the longer ones, and is at work when the other is done.
        for frame in range(12 if i % 2 else 1):
            Image.fromarray(rng.integers(0, 255, (56, 112, 3), np.uint8)).save(clip / f"{frame}.png")
    if broken:
        shutil.rmtree(clips[0])
        clips[0].mkdir()
    out = tmp_path / "out"
    # With --cpu accelerate starts one process, however many it is asked for; this is what it does on GPUs.
    launch = ["launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0", "--module", "page4d"]
    words = ["predict", "--each", *map(str, clips), "--out", str(out), "--weights", "tiny", "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [str(BIN / "accelerate"), *launch, *words, "--window", "4", "--overlap", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert (done.returncode != 0) == broken, done.stderr
    good = [clip for clip in clips if not (broken and clip.name == "bad")]
    assert sorted(path.name for path in out.iterdir()) == sorted(clip.name for clip in good)
    for clip in good:
        assert done.stdout.count(f"{out / clip.name}: ") == 1
        assert len(StoredPrediction.open(out / clip.name / "prediction")) == len(list(clip.iterdir()))
    assert done.stdout.count("clips predicted") == 2
    assert ("1 of 2 clips predicted" in done.stdout) == broken
    assert (f"1 of 2 clips failed: {clips[0]}" in done.stderr) == broken
