"""Memory of a forward pass: the account before it starts, against every storage that the pass makes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from little_model import LITTLE, little_model

from page4d.inference import predict
from page4d.model import PAGE4D, PAGE4DConfig, memory
from page4d.model.memory import (
    ForwardPass,
    estimate_memory,
    frames_that_fit,
    memory_limit,
    memory_needed,
    what_fits,
)
from page4d.schema import UserError

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
# As wide as the full network, but shallow, so that the count takes seconds.
WIDE = PAGE4DConfig(
    depth=4, patch_embed="conv", mask_source=1, masked_pairs=(2,), dpt_pairs=(0, 1, 2, 3), enable_track=False
)  # fmt: skip


def counted(one: ForwardPass, **switches: bool) -> int:
    """Bytes at the fullest moment of the pass on fake CUDA tensors."""
    sys.path.insert(0, str(BENCHMARKS))
    from memory import LiveStorages, fake_tensors  # type: ignore[attr-defined]

    sys.path.remove(str(BENCHMARKS))
    live = LiveStorages()
    with fake_tensors(), torch.inference_mode(), live:
        with torch.device("cuda"):
            model = PAGE4D(replace(one.config, **switches)).eval()
        model.hold_matrices(one.held)
        images = torch.empty(1, one.frames, 3, one.height, one.width, device="cuda")
        live.peak = live.now
        with torch.autocast("cuda", torch.bfloat16, enabled=one.products != torch.float32):
            model(images)
    return int(live.peak)


@pytest.mark.parametrize("frames", [3, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("held", "products"),
    [
        (torch.bfloat16, torch.bfloat16),
        (torch.float32, torch.bfloat16),
        (torch.float32, torch.float32),
    ],
    ids=["held", "autocast", "float32"],
)
def test_the_account_agrees_with_the_count(frames: int, held: torch.dtype, products: torch.dtype) -> None:
    one = ForwardPass(WIDE, frames, 336, 518, held, products)
    assert estimate_memory(one).tensors == pytest.approx(counted(one), rel=0.08)


def test_what_was_measured_on_a_card_was_foreseen() -> None:
    stored = json.loads((BENCHMARKS / "results" / "memory.json").read_text(encoding="utf-8"))["measured"]
    full = PAGE4DConfig(enable_track=False)
    width, height = stored["clip_px"]
    for name, held in (("bf16", torch.bfloat16), ("autocast", torch.float32)):
        for row in stored[name]:
            estimate = estimate_memory(ForwardPass(full, row["frames"], height, width, held, torch.bfloat16))
            assert estimate.tensors / 1e9 == pytest.approx(row["allocated_gb"], rel=0.08)
            assert estimate.on(CUDA) / 1e9 > row["allocated_gb"]


def test_what_was_measured_was_computed() -> None:
    """On fake tensors and without a GPU: as the card's allocator says, and as a real pass on a CPU takes."""
    stored = json.loads((BENCHMARKS / "results" / "memory.json").read_text(encoding="utf-8"))
    for name in ("bf16", "bf16_mask", "autocast"):
        for row in stored["measured"][name]:
            assert stored[f"computed_{name}"][str(row["frames"])] == pytest.approx(row["allocated_gb"], rel=0.08)
    cpu = stored["cpu"]
    assert cpu["computed_gb"] == pytest.approx(cpu["measured_gb"], rel=0.15)
    one = ForwardPass(PAGE4DConfig(enable_track=False), cpu["frames"], *reversed(cpu["clip_px"]))
    assert estimate_memory(one).tensors / 1e9 == pytest.approx(cpu["measured_gb"], rel=0.15)


def test_heads_that_are_off_cost_nothing() -> None:
    one = ForwardPass(WIDE, 4, 336, 518)
    without = replace(one, config=replace(WIDE, enable_point=False))
    assert estimate_memory(without).heads < estimate_memory(one).heads
    assert estimate_memory(without).weights < estimate_memory(one).weights


def test_the_window_that_fits_is_the_largest() -> None:
    one = ForwardPass(WIDE, 100, 336, 518)
    available = estimate_memory(replace(one, frames=37)).on(CUDA)
    assert frames_that_fit(one, CUDA, available) == 37
    assert frames_that_fit(one, CUDA, available - 1) == 36
    assert frames_that_fit(one, CUDA, 0) == 0


def test_words_name_what_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    one = ForwardPass(WIDE, 100, 336, 518)
    monkeypatch.setattr(memory, "memory_limit", lambda _: estimate_memory(replace(one, frames=37)).on(CUDA))
    with pytest.raises(UserError, match=r"memory for 100 frames of 336 x 518 px: about .* GB, cuda:0 has .* GB; take "
                       r"windows of 37 frames \(--window 37\) or fewer frames \(--max-frames 37\)"):  # fmt: skip
        memory_needed(one, CUDA)
    assert memory_needed(replace(one, frames=37), CUDA).startswith("memory for 37 frames of 336 x 518 px: about ")
    monkeypatch.setattr(memory, "memory_limit", lambda _: 1)
    assert "--precision bf16" in what_fits(one, CUDA)
    assert "a device with more memory" in what_fits(replace(one, held=torch.bfloat16), CUDA)
    monkeypatch.setattr(memory, "memory_limit", lambda _: None)
    assert memory_needed(replace(one, frames=1), CUDA).startswith("memory for 1 frame of 336 x 518 px: about ")


def test_a_container_has_what_it_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("max\n", encoding="utf-8")
    monkeypatch.setattr(memory, "CGROUP_LIMIT", limit)
    installed = memory_limit(CPU)
    assert installed is not None
    assert installed > 10**8
    limit.write_text("1000000\n", encoding="utf-8")
    assert memory_limit(CPU) == 1_000_000


def test_a_pass_is_of_whole_patches() -> None:
    for frames, height in ((0, 336), (1, 337)):
        with pytest.raises(ValueError, match=f"{frames} frames of {height} x 518 px, expected at least one"):
            ForwardPass(WIDE, frames, height, 518)


@pytest.mark.parametrize("fits", [2, 0])
def test_out_of_memory_names_the_window_that_fits(monkeypatch: pytest.MonkeyPatch, fits: int) -> None:
    model = little_model()
    one = ForwardPass(LITTLE, 3, 32, 64)

    def fail(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(model.aggregator, "run", fail)
    left = estimate_memory(replace(one, frames=max(fits, 1))).on(CPU) / 0.79 if fits else 1
    monkeypatch.setattr(memory, "memory_limit", lambda _: left)
    words = r"windows of 2 frames \(--window 2\)" if fits else "--precision bf16"
    with pytest.raises(UserError, match=f"3 frames of 32 x 64 px do not fit into the memory of cpu; .*{words}"):
        predict(model, torch.rand(3, 3, 32, 64))
