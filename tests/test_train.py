"""The loop: what it writes, how it ends, what it refuses."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training import MICRO, ClipSource, clips, make_trainer, settings

from page4d.data.loader import BatchShare, make_ahead
from page4d.losses import LOSS_NAMES, LOSSES
from page4d.model import PAGE4D
from page4d.schema import UserError
from page4d.train.batch import TrainBatch, stack, targets_of
from page4d.train.record import read_scalars
from page4d.train.settings import OptimConfig, Settings, StartConfig
from page4d.train.sources import Curriculum, SyntheticSource
from page4d.train.terms import TermSums


class Broken:
    """A source whose images turn to NaN from a batch on."""

    name = "broken"

    def __init__(self, first: int, last: int = 10**9) -> None:
        self.first, self.last = first, last

    def batch(self, index: int, iteration: int) -> TrainBatch:
        batch = ClipSource(clips(), 2).batch(index, iteration)
        return replace(batch, images=batch.images * math.nan) if self.first <= index < self.last else batch


def test_a_short_run_leaves_everything(tmp_path: Path) -> None:
    chosen = settings(aid=True, validate_every=3, image_every=6, tensorboard=True, keep=1)
    outcome = make_trainer(tmp_path, chosen).run()
    assert (outcome.step, outcome.exit_code) == (6, 0)
    train = [r for r in read_scalars(tmp_path) if r["phase"] == "train"]
    val = [r for r in read_scalars(tmp_path) if r["phase"] == "val"]
    assert [r["step"] for r in train] == [1, 2, 3, 4, 5, 6]
    assert [r["step"] for r in val] == [3, 6]
    for name in ("objective", "loss_camera", "aid_accuracy", "grad_norm/all", "lr/all", "mask_alpha"):
        assert all(math.isfinite(r[name]) for r in train), name
    assert {"objective", "little/abs_rel", "little/rotation_ratio", "little/relative_rotation"} <= val[0].keys()
    assert outcome.best_metric == min(r["objective"] for r in val)
    picture = np.asarray(Image.open(tmp_path / "images" / "train_00000006.png"))
    assert picture.shape == (3 * 16, 3 * 16, 3)
    assert list((tmp_path / "tensorboard").glob("events*"))
    about = json.loads((tmp_path / "run.json").read_text())
    assert about["ended"]["step"] == 6
    assert about["parameters"] == sum(p.numel() for p in PAGE4D(MICRO).parameters())


def test_from_pretrained_loads_the_best(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, settings(validate_every=2))
    trainer.run()
    loaded = PAGE4D.from_pretrained(tmp_path)
    best = trainer.checkpoints.manifest().best
    assert best is not None
    stored = trainer.checkpoints.load(best.step)["model"]
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, stored[name], rtol=1e-3, atol=1e-3)
    assert loaded.config == MICRO


@pytest.mark.parametrize(("end", "on"), [(4, False), (99, True)])
def test_exported_mask_is_the_one_that_training_ended_with(tmp_path: Path, end: int, on: bool) -> None:
    model = (
        replace(MICRO, mask_hold_start=2, mask_hold_end=end)
        if end == 4
        else replace(MICRO, mask_hold_start=99, mask_hold_end=99)
    )
    make_trainer(tmp_path, settings(validate_every=1), model).run()
    loaded = PAGE4D.from_pretrained(tmp_path)
    assert ("mask" in loaded(torch.zeros(2, 3, 16, 16))) is on
    candidates = [r["step"] for r in read_scalars(tmp_path) if r["phase"] == "val"]
    best = json.loads((tmp_path / "checkpoints" / "manifest.json").read_text())["entries"]
    assert candidates == [1, 2, 3, 4, 5, 6]
    assert all(e["step"] >= 4 for e in best if e["best"] and not on), "an intermediate mask is never the best"


def test_one_optimizer_step_an_iteration_after_clipping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T1, T2: the public loop stepped twice, the first time unclipped."""
    trainer = make_trainer(tmp_path, settings(accumulate=3))
    steps: list[float] = []
    original = trainer.optimizer.step

    def spy(*args: object) -> None:
        (parameters, _) = trainer.clips["all"]
        steps.append(float(torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()))
        original(*args)

    monkeypatch.setattr(trainer.optimizer, "step", spy)
    batches = make_ahead(trainer.source.batch, BatchShare(accumulate=3), 0, 9, 0)
    values = trainer.iteration(batches)
    assert values is not None
    assert values["grad_norm/all"] > 1.0, "the case needs something to clip"
    assert steps == pytest.approx([1.0], rel=1e-4)
    assert trainer.position.step == 1


def test_accumulation_equals_one_large_batch(tmp_path: Path) -> None:
    """T18: no sequence is dropped; the mean over micro-batches is what steps."""
    whole = make_trainer(tmp_path / "a", settings(accumulate=2, max_steps=2))
    parts = [whole.source.batch(i, 0) for i in range(2)]
    sums = TermSums(whole.terms, 2)
    for part in parts:
        whole._micro_batch(part, sums)
    expected = [p.grad.clone() for p in whole.trainee.parameters() if p.grad is not None]
    objectives = []
    for part in parts:
        alone = make_trainer(tmp_path / "b", settings(max_steps=2))
        terms = TermSums(alone.terms)
        alone._micro_batch(part, terms)
        objectives.append((terms.sums["objective"], [p.grad for p in alone.trainee.parameters() if p.grad is not None]))
    assert sums.sums["objective"].item() == pytest.approx(sum(o.item() for o, _ in objectives) / 2, rel=1e-6)
    for i, gradient in enumerate(expected):
        torch.testing.assert_close(gradient, (objectives[0][1][i] + objectives[1][1][i]) / 2, rtol=1e-4, atol=1e-6)


def test_lr_and_mask_follow_the_optimizer_step(tmp_path: Path) -> None:
    model = replace(MICRO, mask_hold_start=2, mask_hold_end=4)
    make_trainer(tmp_path, settings(), model, source=Broken(1, 2)).run()
    train = [r for r in read_scalars(tmp_path) if r["phase"] == "train"]
    assert [r["mask_alpha"] for r in train] == pytest.approx([1, 1, 1, 0.5, 0, 0])
    assert [(r["step"], r["iteration"]) for r in train] == [(1, 1), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7)]
    schedule = OptimConfig().groups["all"].rate.schedule()
    assert [r["lr/all"] for r in train] == pytest.approx([schedule(i / 6) for i in range(6)])


def test_nan_batch_is_skipped_and_changes_nothing(tmp_path: Path) -> None:
    """T6, T16: no half step, no swallowed failure."""
    trainer = make_trainer(tmp_path, source=Broken(1, 2))
    trainer.iteration(iter([trainer.source.batch(0, 0)]))
    before = [p.clone() for p in trainer.trainee.parameters()]
    assert trainer.iteration(iter([trainer.source.batch(1, 1)])) is None
    assert (trainer.position.step, trainer.position.iteration, trainer.position.skipped) == (1, 2, 1)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.trainee.parameters(), strict=True))
    assert trainer.iteration(iter([trainer.source.batch(2, 2)])) is not None
    assert trainer.position.skipped == 0


def test_too_many_nan_batches_end_the_run_by_name(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, settings(max_skips=2), source=Broken(1))
    with pytest.raises(UserError, match=r"3 iterations in a row.*objective.*dynamic-train-0.*check-data"):
        trainer.run()
    assert [r["in_a_row"] for r in read_scalars(tmp_path) if r["phase"] == "skipped"] == [1, 2, 3]


def test_nan_targets_and_empty_masks_train_on(tmp_path: Path) -> None:
    batch = stack(clips()[:2])
    depth, poses = batch.depth.clone(), batch.cam_from_world.clone()
    depth[0, 0, :4] = math.nan
    depth[1] = 0
    broken = replace(batch, depth=depth)
    targets = targets_of(broken, "corrected")
    assert targets.drop_pose is not None
    assert targets.drop_pose.tolist() == [False, True]
    trainer = make_trainer(tmp_path)
    assert trainer.iteration(iter([broken])) is not None
    assert trainer.iteration(iter([replace(batch, depth=torch.zeros_like(depth))])) is not None
    poses[0, 1] = math.nan
    values = trainer.iteration(iter([replace(batch, cam_from_world=poses)]))
    assert values is not None
    assert math.isfinite(values["loss_camera"])


def test_sigterm_saves_and_exits_143(tmp_path: Path) -> None:
    class Terminating(ClipSource):
        def batch(self, index: int, iteration: int) -> TrainBatch:
            if index == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().batch(index, iteration)

    before = signal.getsignal(signal.SIGTERM)
    trainer = make_trainer(tmp_path, settings(save_every=0), source=Terminating(clips(), 2, seed=3))
    outcome = trainer.run()
    assert (outcome.step, outcome.exit_code) == (3, 143)
    assert [e.step for e in trainer.checkpoints.manifest().entries] == [3]
    assert signal.getsignal(signal.SIGTERM) is before
    assert make_trainer(tmp_path).run().exit_code == 0


def test_out_of_memory_names_the_batch_and_what_to_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(tmp_path)

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer, "module", type("M", (), {"__call__": full, "train": lambda self: None})())
    with pytest.raises(UserError, match=r"2 sequences x 3 frames of 16 x 16 px; lower data\.batch_size.*bf16"):
        trainer.run()


def test_wrong_metric_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'val/little/absrel' is not logged; near names: .*val/little/abs_rel"):
        make_trainer(tmp_path, settings(metric="val/little/absrel"))


def test_maximised_metric(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, settings(metric="val/little/abs_rel", mode="max", validate_every=1))
    outcome = trainer.run()
    values = [r["little/abs_rel"] for r in read_scalars(tmp_path) if r["phase"] == "val"]
    assert outcome.best_metric == max(values)


def test_start_from_weights_reports_what_was_loaded(tmp_path: Path) -> None:
    make_trainer(tmp_path / "first", settings(max_steps=1, save_every=1)).run()
    again = make_trainer(tmp_path / "second", started(tmp_path / "first"))
    n = len(PAGE4D(MICRO).state_dict())
    assert f"{n} of {n} tensors loaded" in again.loaded
    stored = PAGE4D.from_pretrained(tmp_path / "first").state_dict()
    assert all(torch.equal(v, stored[k]) for k, v in again.model.state_dict().items())


def started(folder: Path, **fields: object) -> Settings:
    return replace(settings(max_steps=1), start=StartConfig(weights=str(folder), **fields))  # type: ignore[arg-type]


def test_start_without_mask_head_or_with_fewer_heads(tmp_path: Path) -> None:
    state = {k: v for k, v in PAGE4D(MICRO).state_dict().items() if "spatial_mask_head" not in k}
    torch.save(state, tmp_path / "vggt.pt")
    trainer = make_trainer(tmp_path / "run", started(tmp_path / "vggt.pt"), replace(MICRO, enable_point=False))
    assert "newly initialised: spatial_mask_head" in trainer.loaded
    assert "not in this network: point_head" in trainer.loaded


def test_start_with_fresh_heads(tmp_path: Path) -> None:
    without = PAGE4D(replace(MICRO, enable_depth=False, enable_point=False))
    torch.save({k: v for k, v in without.state_dict().items() if "mask_head" not in k}, tmp_path / "stage.pt")
    with pytest.raises(UserError, match="missing: depth_head"):
        make_trainer(tmp_path / "run", started(tmp_path / "stage.pt"))
    trainer = make_trainer(tmp_path / "run", started(tmp_path / "stage.pt", fresh=("depth_head", "point_head")))
    assert "newly initialised: depth_head, point_head, spatial_mask_head" in trainer.loaded
    with pytest.raises(UserError, match=r"start\.fresh names 'dept_head'.*near: depth_head"):
        make_trainer(tmp_path / "run", started(tmp_path / "stage.pt", fresh=("dept_head",)))


def test_start_from_another_architecture(tmp_path: Path) -> None:
    torch.save(PAGE4D(MICRO).state_dict(), tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"does not fit this network.*wrong shape"):
        make_trainer(tmp_path / "run", started(tmp_path / "other.pt"), replace(MICRO, embed_dim=32))
    with pytest.raises(UserError, match="layer_scale"):
        make_trainer(tmp_path / "run", started(tmp_path / "other.pt", layer_scale=0.1))


def test_layer_scale_of_a_random_start(tmp_path: Path) -> None:
    chosen = replace(settings(), start=StartConfig(layer_scale=0.25))
    gammas = [p for n, p in make_trainer(tmp_path, chosen).model.named_parameters() if n.endswith("gamma")]
    assert len(gammas) > 8
    assert all(bool((g == 0.25).all()) for g in gammas)


def test_clip_source_order_and_size() -> None:
    source = ClipSource(clips(), 3, seed=1)
    first = [source.batch(i, 0).names for i in range(4)]
    assert first == [source.batch(i, 99).names for i in range(4)]
    assert len({name for names in first[:2] for name in names}) == 6, "within a pass no clip comes twice"
    with pytest.raises(UserError, match="8 clips for batches of 9"):
        ClipSource(clips(), 9)
    with pytest.raises(UserError, match="differ in shape"):
        stack([clips()[0], clips(8, 2)[0]])
    with pytest.raises(UserError, match="no clips"):
        stack([])


def test_synthetic_source_curriculum_and_seeds() -> None:
    from page4d.world import split_config

    world = split_config("static-train", height=16, width=16, frames=2)
    curriculum = Curriculum(frames=((0, 2), (5, 3)), batch_size=((0, 3), (5, 2)), camera_speed=((0, 0.0), (10, 1.0)))
    source = SyntheticSource("static-train", world, 3, curriculum)
    early, late = source.batch(0, 0), source.batch(1, 5)
    assert early.images.shape[:2] == (3, 2)
    assert late.images.shape[:2] == (2, 3)
    assert not set(early.names) & set(late.names)
    assert curriculum.world(world, 5).camera_speed == pytest.approx((0.1, 1.0))
    wide = Curriculum(frame_stride=((0, 2.0), (10, 1.0)))
    assert wide.world(world, 0).frame_stride == pytest.approx((2.0, 6.0))
    assert wide.world(world, 10) == world
    motion = early.cam_from_world[:, 1, :, 3] - early.cam_from_world[:, 0, :, 3]
    assert motion.norm(dim=-1).max() < 0.05, "a tripod, but for a hand's shake"
    assert torch.equal(source.batch(1, 5).images, late.images)


def test_batches_give_each_number_once_over_processes() -> None:
    numbers = [BatchShare(rank, 2, 3).numbers(4) for rank in range(2)]
    assert sorted(numbers[0] + numbers[1]) == list(range(24, 30))
    assert BatchShare(accumulate=6).numbers(4) == list(range(24, 30)), "one process that accumulates sees the same"


def test_batches_from_a_worker_are_the_same() -> None:
    source = ClipSource(clips(), 2)
    here = [b.names for b in make_ahead(source.batch, BatchShare(), 2, 5, workers=0)]
    there: Iterator[TrainBatch] = make_ahead(source.batch, BatchShare(), 2, 5, workers=1)
    assert [b.names for b in there] == here


def test_public_behaviour_is_available_to_training(tmp_path: Path) -> None:
    chosen = replace(settings(), loss=replace(settings().loss, behaviour="public"))
    trainer = make_trainer(tmp_path, chosen)
    assert trainer.iteration(iter([trainer.source.batch(0, 0)])) is not None


def test_progress_bar_shows_loss_rate_and_memory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_trainer(tmp_path, settings(progress=True, max_steps=2)).run()
    shown = capfd.readouterr().err
    assert "loss=" in shown
    assert "GB=" in shown
    assert "step" in shown


def test_loss_names_are_those_that_are_logged(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    values = trainer.iteration(iter([trainer.source.batch(0, 0)]))
    assert values is not None
    assert set(LOSS_NAMES) - set(LOSSES["track"].terms) == {name for name in values if name.startswith("loss_")}
