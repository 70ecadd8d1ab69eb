"""The driver that trains the family in a stated time: composed, without hydra, and whole at the smallest size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from page4d.model import PAGE4D
from page4d.train.setup import compose_run, trainer_from

ROOT = Path(__file__).resolve().parent.parent
DRIVER = ROOT / "benchmarks" / "family.py"
# What a machine that only trains may lack.
ABSENT = ("hydra", "omegaconf", "evo", "av", "trimesh", "rerun", "plotly", "pyarrow")
STAGES = ("match", "grow", "static", "long", "dynamic", "lengths", "mask")


def drive(*words: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the driver, in a Python in which some packages cannot be imported."""
    code = (
        f"import sys, runpy; [sys.modules.__setitem__(n, None) for n in {without!r}]; "
        f"sys.path.insert(0, {str(DRIVER.parent)!r}); sys.argv = [{str(DRIVER)!r}, *{list(words)!r}]; "
        f"runpy.run_path({str(DRIVER)!r}, run_name='__main__')"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)


def test_the_driver_starts_without_what_a_training_machine_lacks() -> None:
    done = drive("--help", without=ABSENT)
    assert done.returncode == 0, done.stderr
    assert "--pilot" in done.stdout


@pytest.mark.slow
def test_the_whole_family_at_the_smallest_size(tmp_path: Path) -> None:
    configs, out = tmp_path / "family.json", tmp_path / "out"
    assert drive("--compose", str(configs)).returncode == 0
    words = (
        "--configs", str(configs), "--seconds", "150", "--micro", "--device", "cpu", "--precision", "no",
        "--workers", "1",
        "--out", str(out), "--exam-clips", "8", "--stages", *STAGES, "exam",
        # Arms end with their deadline whatever they did: on two busy cores they have not begun by then.
    )  # fmt: skip
    done = drive(*words, without=ABSENT)
    assert done.returncode == 0, done.stderr
    networks = {"vggt-tiny": False, "page4d-tiny": False, "page4d-tiny-mask": True}
    for name, masked in networks.items():
        model = PAGE4D.from_pretrained(out / f"{name}.safetensors")
        assert (model.config.mask_hold_end > 0) is masked, name
    scores = json.loads((out / "scores.json").read_text())
    assert networks.keys() <= scores.keys()
    assert 0 <= scores["page4d-tiny-mask"]["dynamic-test"]["mean"]["mask_auc"] <= 1
    about = json.loads((out / "run.json").read_text())
    assert about["failed"] == {}
    assert all(about["stages"][stage]["where"] == 1.0 for stage in STAGES)
    assert len([path for path in out.iterdir() if path.is_file()]) <= 8


@pytest.mark.slow
def test_the_small_experiment_starts(tmp_path: Path) -> None:
    words = [
        "experiment=small", f"paths.root={tmp_path}", "trainer.max_steps=2", "trainer.workers=0",
        "trainer.precision=no", "data.batch_size=1", "data.world.frames=2", "data.frames=null", "~data.val.dynamic-val",
        "trainer.progress=false",
        "trainer.device=cpu",
    ]  # fmt: skip
    trainer = trainer_from(compose_run(words))
    assert 18e6 < trainer.describe()["parameters"] < 25e6
    assert trainer.run().step == 2
