"""Freezing, optimizer groups and clipping groups by pattern."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from training import MICRO, make_trainer, settings

from page4d.model import PAGE4D
from page4d.schema import UserError
from page4d.train.engine import Trainee, clip_groups, make_optimizer, set_rates
from page4d.train.patterns import NamedPatterns, divide, expand, freeze
from page4d.train.settings import AidConfig, ClipConfig, GroupConfig, OptimConfig, RateConfig


def network() -> nn.Module:
    return nn.ModuleDict({"blocks": nn.ModuleList(nn.Linear(2, 2) for _ in range(12)), "head": nn.Linear(2, 1)})


def test_expand() -> None:
    assert expand("a.{0..2}.w") == ["a.0.w", "a.1.w", "a.2.w"]
    assert sorted(expand("{frame,global}_b.{1..2}")) == ["frame_b.1", "frame_b.2", "global_b.1", "global_b.2"]


def test_freeze_takes_exactly_the_named_modules() -> None:
    model = network()
    frozen = freeze(model, ["blocks.1", "head.bias"])
    assert frozen == ["blocks.1.weight", "blocks.1.bias", "head.bias"], "blocks.1 is not blocks.10"
    assert model.training
    assert all(module.training for module in model.modules()), "T4: freezing leaves the train mode alone"


def test_unmatched_pattern_lists_near_names() -> None:
    with pytest.raises(UserError, match=r"'blocks.12'.*near names: .*blocks.1"):
        freeze(network(), ["blocks.{0..12}"])


def test_divide_refuses_gaps_and_overlaps() -> None:
    names = dict(network().named_parameters())
    with pytest.raises(UserError, match=r"no entry takes blocks\.0"):
        divide(names, [NamedPatterns("head", ("head.*",))], "groups")
    with pytest.raises(UserError, match="in both 'a' and 'b'"):
        divide(names, [NamedPatterns("a", ("head.*",)), NamedPatterns("b", ("*.bias",))], "groups")
    with pytest.raises(UserError, match="both take the rest"):
        divide(names, [NamedPatterns("a", None), NamedPatterns("b", None)], "groups")
    with pytest.raises(UserError, match=r"near names: .*head"):
        divide(names, [NamedPatterns("a", ("heads.*",))], "groups")


def test_groups_rates_and_decay() -> None:
    trainee = Trainee(PAGE4D(MICRO), AidConfig())
    fast, slow = RateConfig(peak=1.0, floor=0.0, warmup=0.0), RateConfig(peak=0.1, floor=0.0, warmup=0.0)
    groups = {
        "camera": GroupConfig(("camera_head.*",), fast, weight_decay=0.3),
        "rest": GroupConfig(None, slow, weight_decay=0.2, decay_vectors=False),
    }
    optimizer, schedules = make_optimizer(trainee, OptimConfig(groups=groups))
    assert set_rates(optimizer, schedules, 0.5) == pytest.approx({"camera": 0.5, "rest": 0.05})
    owner = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    assert len(owner) == len(list(trainee.parameters()))
    for name, parameter in trainee.names().items():
        group = owner[id(parameter)]
        camera = name.startswith("camera_head.")
        assert group["lr"] == pytest.approx(0.5 if camera else 0.05)
        assert group["weight_decay"] == (0.3 if camera else 0.2 if parameter.ndim > 1 else 0.0)


def test_frozen_parameters_never_reach_the_optimizer() -> None:
    model = PAGE4D(MICRO)
    freeze(model, ["aggregator"])
    optimizer, _ = make_optimizer(Trainee(model, AidConfig()), OptimConfig())
    held = {id(p) for g in optimizer.param_groups for p in g["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    freeze(model, ["*_head"])
    with pytest.raises(UserError, match="nothing to train"):
        make_optimizer(Trainee(model, AidConfig()), OptimConfig())


def test_clip_groups_cover_everything() -> None:
    trainee = Trainee(PAGE4D(MICRO), AidConfig(enabled=True))
    clip = {"aggregator": ClipConfig(("aggregator.*",), 0.5), "rest": ClipConfig(None, None)}
    groups = clip_groups(trainee, OptimConfig(clip=clip))
    assert groups["aggregator"][1] == 0.5
    assert groups["rest"][1] == float("inf")
    assert sum(len(parameters) for parameters, _ in groups.values()) == len(list(trainee.parameters()))
    with pytest.raises(UserError, match=r"optim\.clip: no entry takes"):
        clip_groups(trainee, OptimConfig(clip={"aggregator": ClipConfig(("aggregator.*",), 0.5)}))


def test_gradient_checkpointing_recomputes_with_frozen_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T4: every block that a gradient passes through runs once more in the backward pass, frozen or not."""
    from page4d.model.layers import Block

    calls = {"n": 0}
    original = Block.forward

    def counted(self: Block, *args: object, **kwargs: object) -> object:
        calls["n"] += 1
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Block, "forward", counted)
    counts, losses = {}, {}
    some = ("aggregator.frame_blocks.{0..1}",)
    for name, on, frozen in (("off", False, ()), ("on", True, ()), ("frozen", True, some)):
        chosen = settings(gradient_checkpointing=on, max_steps=1)
        chosen = type(chosen)(trainer=chosen.trainer, optim=OptimConfig(freeze=frozen))
        trainer = make_trainer(tmp_path / name, chosen)
        calls["n"] = 0
        values = trainer.iteration(iter([trainer.source.batch(0, 0)]))
        assert values is not None
        counts[name], losses[name] = calls["n"], values["objective"]
    blocks = 2 * MICRO.depth
    assert counts["on"] == counts["off"] + blocks
    assert counts["frozen"] == counts["on"]
    assert losses["on"] == losses["off"] == losses["frozen"]


def test_no_mask_gradient_means_a_frozen_mask_head(tmp_path: Path) -> None:
    """Once alpha is 0 the mask head keeps its values, weight decay included."""
    from dataclasses import replace

    trainer = make_trainer(tmp_path, settings(max_steps=4), replace(MICRO, mask_hold_start=1, mask_hold_end=2))
    head = trainer.model.aggregator.spatial_mask_head
    seen = []
    for number in range(4):
        before = [p.detach().clone() for p in head.parameters()]
        trainer.iteration(iter([trainer.source.batch(number, number)]))
        seen.append(any(not torch.equal(a, b) for a, b in zip(before, head.parameters(), strict=True)))
    assert seen == [True, True, False, False]
