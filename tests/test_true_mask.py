"""What `benchmarks/true_mask.py` takes from a network is gone, and nothing else is."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from book_project import ROOT
from little_model import little_model

from page4d.model.mask import true_mask
from page4d.world import render_scenes, sample_scene, split_config, split_seeds

SIDE, PATCH = 64, 8


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield __import__("true_mask")
    for name in ("true_mask", "stored"):
        sys.modules.pop(name, None)


def scene() -> Any:
    config = split_config("dynamic-hard", height=SIDE, width=SIDE, frames=3)
    return sample_scene(split_seeds("dynamic-hard", 1)[0], config)


@torch.no_grad()
@pytest.mark.parametrize("rows", ["special", "all"])
def test_in_the_masked_pairs_it_is_the_networks_own_way_to_be_given_a_mask(bench: Any, rows: str) -> None:
    model = little_model(mask_hold_start=1, mask_hold_end=1)
    taught = little_model(mask_hold_start=1, mask_hold_end=1, mask_rows=rows)
    images = torch.rand(1, 3, 3, SIDE, SIDE)
    m = -0.5 * (torch.rand(1, 3, SIDE // PATCH, SIDE // PATCH) < 0.4).float()
    expected = taught(images, None, m)
    with bench.given(model, m, bench.Cut(every_row=rows == "all")):
        found = model(images)
    for name in ("pose_enc", "depth"):
        torch.testing.assert_close(found[name], expected[name])
    plain = model(images)["pose_enc"]
    assert not torch.allclose(plain, found["pose_enc"])
    torch.testing.assert_close(plain, little_model(mask_hold_start=1, mask_hold_end=1)(images)["pose_enc"])


@torch.no_grad()
def test_a_network_can_be_masked_in_all_pairs_the_first_among_them(bench: Any) -> None:
    model = little_model(mask_hold_start=1, mask_hold_end=1)
    pairs = tuple(range(model.config.depth))
    everywhere = {"mask_source": 0, "masked_pairs": pairs, "mask_rows": "all"}
    masked = little_model(mask_hold_start=1, mask_hold_end=1, **everywhere)
    images = torch.rand(1, 3, 3, SIDE, SIDE)
    m = -0.5 * (torch.rand(1, 3, SIDE // PATCH, SIDE // PATCH) < 0.4).float()
    with bench.given(model, m, bench.CUTS["every_all"]):
        expected = model(images)
    torch.testing.assert_close(masked(images, None, m)["pose_enc"], expected["pose_enc"])


@torch.no_grad()
@pytest.mark.parametrize(("cut", "reaches"), [("special_masked", True), ("every_all", True), ("unheard", False)])
def test_only_the_strongest_cut_keeps_what_moves_from_the_cameras(bench: Any, cut: str, reaches: bool) -> None:
    model = little_model()
    batch = render_scenes([scene()])
    m = true_mask(batch.moving, PATCH)
    moves = m.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)[:, :, None] < 0
    assert 0.2 < moves.float().mean() < 0.8
    other = torch.where(moves, torch.rand_like(batch.images), batch.images)
    with bench.given(model, m, bench.CUTS[cut]):
        apart = (model(batch.images)["pose_enc"] - model(other)["pose_enc"]).abs().max()
    assert bool(apart > 1e-5) is reaches


def test_worlds_without_motion_keep_the_cameras(bench: Any) -> None:
    before = render_scenes([scene()])
    still, bare = (render_scenes([bench.WORLDS[name](scene())]) for name in ("standing", "absent"))
    for after in (still, bare):
        torch.testing.assert_close(after.cam_from_world, before.cam_from_world)
    torch.testing.assert_close(still.images[:, 1], before.images[:, 1], rtol=0, atol=1e-4)
    assert not torch.allclose(still.images[:, 0], before.images[:, 0], atol=1e-2)
    assert still.moving.any()
    assert not bare.moving.any()
    # What never moved looks as before, but for shadows; its depth has none.
    alike = ~before.moving
    torch.testing.assert_close(bare.depth[alike], before.depth[alike], rtol=1e-3, atol=1e-3)
