"""Rules that only rare data show: each test here fails if its rule is taken out."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from training import make_trainer, settings

from page4d.data.datasets.spring import depth_from_disparity
from page4d.data.loader import BatchShare, make_ahead
from page4d.evaluate.alignment import Fit, irls_scale_fit, lad2_video_fit, median_fit
from page4d.evaluate.depth_metrics import DepthOptions, apply_fit
from page4d.schema import UserError
from page4d.train import snapshot
from page4d.train.checkpoints import Checkpoints


def test_disparities_that_are_no_depth() -> None:
    stored = np.repeat(np.repeat(np.array([[2.0, -2.0], [0.0, np.nan], [np.inf, 4.0]], np.float32), 2, 0), 2, 1)
    depth = depth_from_disparity(stored, 1000.0, (3, 2))
    np.testing.assert_allclose(depth, [[32.5, 0], [0, 0], [0, 16.25]])


def test_predicted_disparities_that_alignment_moves_below_zero_are_no_depth() -> None:
    moved = apply_fit(np.array([1.0, 2.0, 2.5, 4.0]), Fit(1.0, -2.0), DepthOptions(disparity=True))
    assert moved.tolist() == [0, 0, 2, 0.5]


@pytest.mark.parametrize(("usable", "moves"), [(9, False), (10, True)])
def test_fewer_than_ten_pixels_are_not_fitted(usable: int, moves: bool) -> None:
    """Pixels without truth do not count, so the rule is about the usable ones."""
    pred = np.linspace(1, 3, 20)
    gt = np.where(np.arange(20) < usable, 2 * pred + 0.5, 0.0)
    assert (lad2_video_fit(pred, gt) != median_fit(pred, gt)) == moves


def test_a_scale_never_falls_below_a_thousandth() -> None:
    pred = np.array([1000.0, 2000.0, 3000.0])
    assert irls_scale_fit(pred, pred * 1e-5).scale == 1e-3
    assert irls_scale_fit(pred, pred * 0.25).scale == pytest.approx(0.25)


def test_the_released_scale_starts_from_a_mean_of_the_type_that_arrives():
    once = np.float32([0.1, 0.7, 0.3, 1.1, 0.9, 2.3, 1.7])
    pred = np.concatenate((once, once))
    # Half of the pixels ask for the scale 1, half for 3: between them every scale is as good, so the start stays.
    gt = pred.astype(np.float64) * np.repeat([1.0, 3.0], len(once))
    start = gt.mean() / float(torch.from_numpy(pred).mean())
    assert abs(start - 2) > 1e-8  # 2 is what a mean in float64 would give
    assert irls_scale_fit(pred, gt).scale == pytest.approx(start, rel=1e-10)


def test_a_step_is_listed_once(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, keep=3)
    for step, best in ((1, False), (2, False), (2, True)):
        store.save({"step": step}, step, metric=0.5, best=best)
    assert [(entry.step, entry.best) for entry in store.manifest().entries] == [(1, False), (2, True)]


def draws() -> list[float]:
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), float(torch.rand(()))]


def test_random_generators_go_on_where_they_were(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, settings(max_steps=2))
    trainer.run()
    payload = trainer.checkpoints.load()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    np.random.randn()  # leaves the second of a pair of normal numbers, which belongs to the state
    snapshot.restore(trainer.accelerator, trainer.module, trainer.optimizer, payload)
    first = draws()
    snapshot.set_rng_state(payload["rng"][0])
    assert draws() == first
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert draws() != first


def batch_or_death(number: int, iteration: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number + iteration


def test_a_killed_worker_is_named() -> None:
    batches = make_ahead(batch_or_death, BatchShare(), 0, 9, workers=1)
    with pytest.raises(UserError, match=r"^data worker \d+ .*; most often memory ran out"):
        list(batches)


class Kept(GeneralTracker):
    """A logger that keeps what it is told."""

    name = "kept"
    requires_logging_directory = False
    main_process_only = True
    told: ClassVar[list[tuple[str, Any]]] = []

    def __init__(self, run_name: str, **_: Any) -> None:
        super().__init__()
        self.told.append(("run", run_name))

    @property
    def tracker(self) -> Any:
        return self.told

    def start(self) -> None:
        """Nothing to open."""

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.told.append(("config", values))

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        self.told.append(("log", (step, values)))

    def log_images(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        self.told.append(("images", {name: image.shape for name, image in values.items()}))

    def finish(self) -> None:
        self.told.append(("end", None))


def test_training_tells_the_loggers_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "kept", Kept)
    chosen = settings(max_steps=2, validate_every=2, image_every=2, log_with=("kept",))
    make_trainer(tmp_path, chosen, config={"trainer": {"seed": 3, "betas": [1, 2]}}).run()
    kinds = [kind for kind, _ in Kept.told]
    assert kinds[:2] == ["run", "config"]
    assert kinds[-1] == "end"
    assert Kept.told[1] == ("config", {"trainer.seed": 3, "trainer.betas": "[1, 2]"})
    logged = [value for kind, value in Kept.told if kind == "log"]
    assert [step for step, values in logged if "train/objective" in values] == [1, 2]
    assert [step for step, values in logged if "val/objective" in values] == [2]
    assert [len(shape) for kind, value in Kept.told if kind == "images" for shape in value.values()] == [4]


def test_a_logger_that_is_not_there_is_named_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.log_with: 'wandbb' is no logger of accelerate; choose from .*wandb"):
        make_trainer(tmp_path, settings(log_with=("wandbb",)))
    with pytest.raises(UserError, match=r"trainer\.log_with: 'aim' is not installed"):
        make_trainer(tmp_path, settings(log_with=("aim",)))
