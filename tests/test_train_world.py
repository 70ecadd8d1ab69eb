"""Training on the synthetic world: drawn scenes, lengths, splits, dense frames, taught and given masks, the clock."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from training import MICRO, clips, make_trainer, settings

from page4d.losses import LossConfig, total_loss
from page4d.model.mask import true_mask
from page4d.model.network import ALL_FRAMES
from page4d.schema import UserError
from page4d.train.aid import mask_loss
from page4d.train.batch import stack, targets_of
from page4d.train.delivery import REUSE_LAG, first_fresh, reused
from page4d.train.objective import dense_frames
from page4d.train.record import read_scalars
from page4d.train.settings import AidConfig
from page4d.train.setup import data_from
from page4d.train.sources import Curriculum, DrawnBatch, Lengths, SplitMix, SyntheticSource
from page4d.world import split_config

WORLD = split_config("dynamic-train", height=16, width=16, frames=3)


def test_drawn_scenes_become_what_a_worker_would_have_rendered() -> None:
    here = SyntheticSource("dynamic-train", WORLD, 2).batch(3, 0)
    drawn = SyntheticSource("dynamic-train", WORLD, 2, device="auto").batch(3, 0)
    assert isinstance(drawn, DrawnBatch)
    there = drawn.to("cpu")
    assert drawn.names == here.names == there.names
    for name in ("images", "depth", "cam_from_world", "K", "moving", "flow"):
        assert torch.equal(getattr(there, name), getattr(here.to("cpu"), name)), name
    with pytest.raises(UserError, match=r"data\.device is 'cuda'; choose one of 'cpu', 'auto'"):
        SyntheticSource("dynamic-train", WORLD, 2, device="cuda")


def test_lengths_are_drawn_by_number_and_keep_the_pictures() -> None:
    lengths = Lengths(2, 5, 12)
    drawn = Counter(lengths.frames(index) for index in range(2000))
    assert set(drawn) == {2, 3, 4, 5}
    assert min(drawn.values()) > 400, "each length is as likely as another"
    source = SyntheticSource("dynamic-train", WORLD, 4, device="auto", lengths=lengths)
    seen: set[str] = set()
    for index in range(12):
        batch = source.batch(index, 0)
        assert isinstance(batch, DrawnBatch)
        assert (batch.tables.frames, len(batch.names)) == (lengths.frames(index), 12 // lengths.frames(index))
        assert not seen & set(batch.names)
        seen |= set(batch.names)
    assert source.batch(7, 99).names == source.batch(7, 0).names
    with pytest.raises(UserError, match="shortest <= longest"):
        Lengths(5, 2, 12)
    with pytest.raises(UserError, match="leave curriculum"):
        SyntheticSource("dynamic-train", WORLD, 4, Curriculum(frames=((0, 2),)), lengths=lengths)


def test_splits_are_mixed_by_whole_batches() -> None:
    sources = tuple(SyntheticSource(name, WORLD, 1, device="auto") for name in ("dynamic-train", "static-train"))
    mix = SplitMix(sources, (0.75, 0.25))
    assert mix.name == "dynamic-train"
    drawn = Counter(mix.batch(index, 0).names[0].rpartition("-")[0] for index in range(80))
    assert 0.1 < drawn["static-train"] / 80 < 0.4
    assert mix.batch(5, 9).names == mix.batch(5, 0).names
    config = {"kind": "synthetic", "split": "dynamic-train", "batch_size": 1, "world": {}, "curriculum": {}, "val": {}}
    assert isinstance(data_from(config | {"mix": {"static-train": 0.25}}).source, SplitMix)
    with pytest.raises(UserError, match="together at most 1"):
        data_from(config | {"mix": {"static-train": 1.25}})


def test_dense_frames_are_every_nth_from_a_drawn_one() -> None:
    assert dense_frames(5, 1, 4) == ALL_FRAMES
    first = Counter(dense_frames(number, 2, 4).start for number in range(400))
    assert set(first) == {0, 1}
    assert min(first.values()) > 150
    assert {len(range(2)[dense_frames(number, 4, 2)]) for number in range(50)} == {1}, "never none"


def test_dense_terms_of_some_frames_are_those_of_the_cut_clip() -> None:
    targets = targets_of(stack(clips(2)), "corrected")
    poses, depth = torch.randn(2, 3, 9), torch.rand(2, 3, 16, 16, 1)
    chosen = slice(1, None, 2)
    predictions = {"pose_enc_list": [poses], "depth": depth[:, chosen], "depth_conf": 1 + depth[:, chosen, ..., 0]}
    some = total_loss(predictions, targets, LossConfig(), chosen).terms
    cut = total_loss({k: v for k, v in predictions.items() if k != "pose_enc_list"}, targets.at_frames(chosen),
                     LossConfig()).terms  # fmt: skip
    cameras = total_loss({"pose_enc_list": [poses]}, targets, LossConfig()).terms
    assert {name: value.item() for name, value in some.items()} == {n: v.item() for n, v in (cameras | cut).items()}


def test_training_on_some_dense_frames_leaves_a_picture_of_them(tmp_path: Path) -> None:
    chosen = settings(dense_every=2, max_steps=2, image_every=1)
    assert make_trainer(tmp_path, chosen).run().step == 2
    assert len(list((tmp_path / "images").glob("*.png"))) == 2


def test_mask_loss_has_closed_forms() -> None:
    moving = torch.zeros(1, 1, 8, 16, dtype=torch.bool)
    moving[..., 8:] = True
    unsure = mask_loss(torch.zeros(1, 1, 1, 2), moving, 8)
    right = mask_loss(torch.tensor([[[[0.5, -0.5]]]]), moving, 8)
    wrong = mask_loss(torch.tensor([[[[-0.5, 0.5]]]]), moving, 8)
    assert unsure.item() == pytest.approx(math.log(2))
    assert right.item() == pytest.approx(0.0, abs=1e-4)
    assert wrong.item() == pytest.approx(-math.log(1e-5), rel=1e-2)
    half = mask_loss(torch.tensor([[[[0.0]]]]), moving[..., 4:12], 8)
    assert half.item() == pytest.approx(math.log(2)), "the best answer where half of a patch moves"


@pytest.mark.slow
def test_a_taught_mask_learns_and_only_its_head(tmp_path: Path) -> None:
    model = replace(MICRO, mask_hold_start=99, mask_hold_end=99)
    chosen = replace(settings(max_steps=25), aid=AidConfig(mask_weight=1.0))
    make_trainer(tmp_path, chosen, model).run()
    taught = [r["aid_mask"] for r in read_scalars(tmp_path) if r["phase"] == "train"]
    assert sum(taught[-5:]) < sum(taught[:5])


def test_the_true_mask_is_given_in_training_and_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = replace(MICRO, mask_hold_start=99, mask_hold_end=99)
    chosen = replace(settings(max_steps=1, validate_every=1), aid=AidConfig(true_mask=True))
    trainer = make_trainer(tmp_path, chosen, model)
    given: list[torch.Tensor | None] = []
    run = trainer.model.aggregator.run

    def spy(*args: object, **options: object) -> object:
        given.append(options["given_mask"])  # type: ignore[arg-type]
        return run(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer.model.aggregator, "run", spy)
    trainer.run()
    batch = trainer.source.batch(0, 0).to("cpu")
    assert batch.moving is not None
    assert len(given) == 3, "one step, two batches of validation"
    assert torch.equal(given[0], true_mask(batch.moving, 8))
    still = replace(batch, moving=None)
    with pytest.raises(UserError, match="does not say what moves"):
        trainer.iteration(iter([still]))


def test_the_clock_ends_a_run_and_its_schedules(tmp_path: Path) -> None:
    model = replace(MICRO, mask_hold_start=300_000, mask_hold_end=600_000)
    chosen = settings(max_steps=1_000_000, max_seconds=4.0, save_every=0)
    trainer = make_trainer(tmp_path, chosen, model, validations=())
    outcome = trainer.run()
    train = [r for r in read_scalars(tmp_path) if r["phase"] == "train"]
    assert outcome.exit_code == 0
    assert trainer.done_share == 1.0
    assert 4.0 <= trainer.position.seconds < 8.0
    rates, alphas = [r["lr/all"] for r in train], [r["mask_alpha"] for r in train]
    assert rates[-1] < 0.2 * max(rates), "the rate has decayed"
    assert alphas[0] == 1.0
    assert alphas[-1] == 0.0


def test_aid_weights_stand_at_shares_of_the_run() -> None:
    with pytest.raises(UserError, match=r"aid\.weight stands at \[500\]; expected shares of the run"):
        AidConfig(weight=((0.0, 1.0), (500, 0.0)))


def test_batches_come_again_after_a_while_and_a_resumed_run_sees_the_same_ones() -> None:
    def numbers(iteration: int, count: int, times: int) -> list[int]:
        fresh = iter(range(first_fresh(iteration, times), 10_000))
        return list(islice(reused(fresh, times, iteration), count))

    whole = numbers(0, 400, 2)
    assert whole[200::2] == list(range(100, 200))
    assert whole[201::2] == [number - REUSE_LAG for number in range(100, 200)]
    assert all(0 <= number <= at // 2 for at, number in enumerate(whole))
    for iteration in (1, 2, 7, 48, 49, 50, 51, 137):
        assert numbers(iteration, 60, 2) == whole[iteration : iteration + 60]
    thrice = numbers(0, 400, 3)
    assert numbers(101, 60, 3) == thrice[101:161]
    assert max(thrice.count(number) for number in range(100)) <= 6
    assert numbers(5, 4, 1) == [5, 6, 7, 8]
