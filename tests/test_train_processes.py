"""Several processes and the real command, killed from outside: the slow tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from page4d.train.record import read_scalars

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent
QUIET = ["trainer.progress=false", "trainer.tensorboard=false", "trainer.image_every=0"]


def words(folder: Path, *more: str) -> list[str]:
    """The smoke experiment in a folder of its own."""
    return ["train", "experiment=smoke", f"paths.root={folder}", *QUIET, *more]


def page4d(*arguments: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    """Run the command, under torchrun for several processes."""
    launcher = ["--nproc_per_node", str(processes), "--no-python", str(BIN / "page4d")]
    command = [str(BIN / "torchrun"), "--standalone", *launcher] if processes > 1 else [str(BIN / "page4d")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment, check=False)


def losses(folder: Path, phase: str = "train") -> list[dict[str, float]]:
    """The logged values, without those that measure the machine."""
    return [r for r in read_scalars(folder / "smoke") if r["phase"] == phase]


@pytest.fixture(scope="module")
def accumulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    done = page4d(*words(folder, "trainer.accumulate=2", "data.val.dynamic-val.batches=3"))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("fsdp", [False, True])
def test_two_processes_equal_one_that_accumulates(tmp_path: Path, accumulated: Path, fsdp: bool) -> None:
    # "auto" must find the other process on a machine without an accelerator, too.
    more = ["data.val.dynamic-val.batches=3", f"trainer.fsdp={str(fsdp).lower()}", "trainer.device=auto"]
    done = page4d(*words(tmp_path, *more), processes=2)
    assert done.returncode == 0, done.stderr
    for phase in ("train", "val"):
        one, two = losses(accumulated, phase), losses(tmp_path, phase)
        assert len(one) == len(two) > 0
        for a, b in zip(one, two, strict=True):
            assert b.pop("phase") == a.pop("phase")
            assert b == pytest.approx(a, rel=2e-4, abs=1e-5)


@pytest.mark.parametrize("fsdp", [False, True])
def test_two_processes_resume_exactly(tmp_path: Path, fsdp: bool) -> None:
    shard = f"trainer.fsdp={str(fsdp).lower()}"
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = page4d(*words(whole, shard), processes=2)
    assert done.returncode == 0, done.stderr
    shutil.copytree(whole, broken)
    done = page4d(*words(broken, shard, "trainer.resume=2"), processes=2)
    assert done.returncode == 0, done.stderr
    assert losses(broken) == losses(whole)


def test_killed_from_outside_at_any_moment(tmp_path: Path) -> None:
    """SIGKILL at times nobody chose, again and again, until the run is through."""
    steps = ["trainer.max_steps=12", "trainer.save_every=1", "trainer.validate_every=0", "trainer.workers=1"]
    began = time.monotonic()
    assert page4d(*words(tmp_path / "whole", *steps)).returncode == 0
    # Half of what an unbroken run takes on this machine: too short, so that the first try is killed.
    delay, kills = 0.5 * (time.monotonic() - began), 0
    command = [str(BIN / "page4d"), *words(tmp_path / "killed", *steps)]
    while True:
        with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as process:
            try:
                code = process.wait(timeout=delay)
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
                delay *= 1.15
    assert code == 0
    assert kills > 0, "the case needs a kill"
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_sigterm_to_the_command(tmp_path: Path) -> None:
    steps = ["trainer.max_steps=100000", "trainer.save_every=0", "trainer.validate_every=0", "trainer.workers=1"]
    command = [str(BIN / "page4d"), *words(tmp_path, *steps)]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True) as process:
        while not losses(tmp_path):
            assert process.poll() is None
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGTERM)  # as a cluster does it: to the loader's worker, too
        said = process.communicate()[0]
    assert process.returncode == 143
    assert "resume with the same command" in said
    manifest = json.loads((tmp_path / "smoke" / "checkpoints" / "manifest.json").read_text())
    assert manifest["entries"][-1]["step"] >= losses(tmp_path)[-1]["step"]
