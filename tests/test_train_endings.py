"""How a run ends and what is logged of it: the clock, undone steps, terms that not every batch has."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from training import MICRO, clips, make_trainer, settings

from page4d.losses import LossConfig, TrackLossConfig
from page4d.schema import UserError
from page4d.train import publish
from page4d.train.batch import stack
from page4d.train.graphs import can_record
from page4d.train.loop import Trainer
from page4d.train.record import Record, read_scalars
from page4d.train.settings import AidConfig
from page4d.train.snapshot import BEST

FAR = replace(MICRO, mask_hold_start=99, mask_hold_end=99)


def exported_step(folder: Path) -> str:
    with safe_open(folder / BEST, "pt") as stored:
        return str(stored.metadata()["step"])


def test_a_clock_that_runs_out_in_a_skipped_iteration_leaves_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def skipped(self: Trainer, batches: Iterator[Any]) -> None:
        time.sleep(0.1)

    monkeypatch.setattr(Trainer, "iteration", skipped)
    trainer = make_trainer(tmp_path, settings(max_seconds=0.05, save_every=0))
    outcome = trainer.run()
    assert (outcome.step, outcome.exit_code) == (0, 0)
    assert outcome.best_metric is not None, "it was validated"
    assert exported_step(tmp_path) == "0"


@pytest.mark.parametrize(
    ("metrics", "keep", "back", "best", "exported"),
    [
        ((3.0, 2.0, 1.0), 9, 4, 2.0, "4"),  # the best before the one that is undone
        ((2.0, 3.0, 1.0), 9, 4, 2.0, "2"),
        ((2.0, 3.0, 1.0), 2, 4, 9.0, "6"),  # that one's checkpoint is gone, so the next measured one is the best
    ],
)
def test_an_undone_network_is_not_the_best(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    metrics: tuple[float, ...],
    keep: int,
    back: int,
    best: float,
    exported: str,
) -> None:
    told = dict(zip((2, 4, 6), metrics, strict=True))
    monkeypatch.setattr(Trainer, "_validate", lambda self: self._is_best(told[self.position.step]))
    chosen = settings(save_every=2, validate_every=2, keep=keep)
    make_trainer(tmp_path, chosen).run()
    assert exported_step(tmp_path) == "6"
    told[6] = 9.0
    outcome = make_trainer(tmp_path, replace(chosen, trainer=replace(chosen.trainer, resume=str(back)))).run()
    assert outcome.best_metric == best
    assert exported_step(tmp_path) == exported


def test_terms_of_some_batches_are_means_over_those(tmp_path: Path) -> None:
    """Processes agree on one vector, so its length must not depend on what a batch says."""

    def logged(name: str, *moving: bool) -> tuple[dict[str, float], int]:
        chosen = replace(settings(accumulate=len(moving)), aid=AidConfig(mask_weight=1.0))
        trainer = make_trainer(tmp_path / name, chosen, FAR)
        lengths = []
        reduce = trainer.accelerator.reduce

        def counted(vector: Tensor, how: str) -> Any:
            lengths.append(len(vector))
            return reduce(vector, how)

        trainer.accelerator.reduce = counted
        batch = stack(clips()[:2])
        batches = [batch if known else replace(batch, moving=None) for known in moving]
        values = trainer.iteration(iter(batches))
        assert values is not None
        return values, lengths[0]

    known, length = logged("known", True)
    unknown, shorter = logged("unknown", False)
    half, _ = logged("half", True, False)
    assert length == shorter
    assert "aid_mask" not in unknown
    assert half["aid_mask"] == pytest.approx(known["aid_mask"], rel=1e-5)
    assert half["loss_camera"] == pytest.approx(known["loss_camera"], rel=1e-5)


@pytest.mark.parametrize(
    ("metric", "without"),
    [("loss_track", ""), ("loss_conf_point", "enable_point"), ("loss_T", "enable_camera"), ("ate", "enable_camera")],
)
def test_a_metric_that_no_validation_gives_is_refused(tmp_path: Path, metric: str, without: str) -> None:
    model = replace(MICRO, **{without: False}) if without else MICRO
    with pytest.raises(UserError, match=f"little/{metric}' is not logged"):
        make_trainer(tmp_path, settings(metric=f"val/little/{metric}"), model)


@pytest.mark.parametrize("loss", [LossConfig(behaviour="public"), LossConfig(track=TrackLossConfig(weight=0.1))])
def test_losses_that_ask_the_device_are_not_recorded(loss: LossConfig) -> None:
    one_gpu: Any = SimpleNamespace(device=torch.device("cuda"), num_processes=1)
    with pytest.raises(UserError, match=r"trainer\.cuda_graphs with loss\.behaviour"):
        can_record(replace(settings(cuda_graphs=True), loss=loss), one_gpu)


@pytest.mark.parametrize(("hold", "word"), [((0, 0), "off"), ((2, 4), "off"), ((2, 9), "on"), ((9, 9), "on")])
def test_a_card_says_of_the_mask_what_the_weights_do(hold: tuple[int, int], word: str) -> None:
    shape = {"mask_hold_start": hold[0], "mask_hold_end": hold[1], "img_size": 8, "patch_size": 4}
    run = {"config": {"model": shape | {"embed_dim": 8, "depth": 1}, "trainer": {"max_steps": 4}}, "parameters": 1}
    assert f"The mask is {word} when" in publish._what_it_is(run)[0]


def test_a_second_run_in_one_folder_is_told(tmp_path: Path) -> None:
    words = ["-c", f"from pathlib import Path; from page4d.train.record import Record; Record(Path({str(tmp_path)!r}))"]
    first = Record(tmp_path, tensorboard=False)
    first.scalars("train", 1, 1, {"loss": 0.5})
    second = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert "another process trains in" in second.stderr
    assert len(read_scalars(tmp_path)) == 1
    first.close()
    assert subprocess.run([sys.executable, *words]).returncode == 0
