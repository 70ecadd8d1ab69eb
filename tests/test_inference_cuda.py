"""Inference on a CUDA device; needs one, and nothing but what the network needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from little_model import little_model

from page4d.inference import compile_blocks, predict
from page4d.model import PAGE4D
from page4d.model.fingerprint import weights_sha256
from page4d.model.memory import ForwardPass, memory_limit, memory_needed
from page4d.model.weights import save_weights
from page4d.schema import UserError
from page4d.windows import Windows

IMAGES = torch.rand(3, 3, 32, 64, generator=torch.Generator().manual_seed(0))
pytestmark = pytest.mark.gpu


def test_cuda_agrees_with_cpu_within_bfloat16() -> None:
    model = little_model(mask_hold_start=1, mask_hold_end=1)
    on_cpu = predict(model, IMAGES)
    on_gpu = predict(model, IMAGES, device="cuda")
    expected = "bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "float32"
    assert (on_gpu.meta["aggregator_dtype"], on_gpu.meta["convolutions"]) == (expected, "tf32")
    assert on_gpu.meta["weights_sha256"] == on_cpu.meta["weights_sha256"]
    np.testing.assert_allclose(on_gpu.depth, on_cpu.depth, rtol=0.05)
    np.testing.assert_allclose(on_gpu.cam_from_world, on_cpu.cam_from_world, atol=0.05)


def test_float32_is_float32_on_cuda() -> None:
    model = little_model(mask_hold_start=1, mask_hold_end=1)
    on_cpu = predict(model, IMAGES)
    on_gpu = predict(model, IMAGES, device="cuda", precision="float32")
    assert on_gpu.meta["aggregator_dtype"] == "float32"
    np.testing.assert_allclose(on_gpu.cam_from_world, on_cpu.cam_from_world, atol=1e-4)
    np.testing.assert_allclose(on_gpu.depth, on_cpu.depth, rtol=5e-3)  # TF32 in the convolutions


def test_heads_stay_in_float32_on_cuda() -> None:
    model = little_model().cuda()
    seen = []
    last = model.depth_head.scratch.output_conv1  # type: ignore[union-attr]
    hook = last.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    predict(model, IMAGES)
    hook.remove()
    assert set(seen) == {torch.float32}  # once for each chunk of frames


def test_weights_go_straight_to_the_card_in_bfloat16(tmp_path: Path) -> None:
    save_weights(little_model(), tmp_path / "w.safetensors", torch.float32)
    model = PAGE4D.from_pretrained(tmp_path / "w.safetensors", device="cuda", precision="bf16")
    assert {weight.device.type for weight in model.parameters()} == {"cuda"}
    assert weights_sha256(model) == weights_sha256(little_model())
    held = predict(model, IMAGES)
    cast = predict(little_model(), IMAGES, device="cuda")
    np.testing.assert_allclose(held.depth, cast.depth, rtol=1e-5)
    with pytest.raises(UserError, match="the network holds bfloat16"):
        predict(model, IMAGES, precision="float32")


def test_compiled_blocks_give_the_same_within_rounding() -> None:
    model = little_model(mask_hold_start=1, mask_hold_end=1)
    plain = predict(model, IMAGES, device="cuda")
    compile_blocks(model, torch.device("cuda"))
    compiled = predict(model, IMAGES)
    np.testing.assert_allclose(compiled.depth, plain.depth, rtol=0.02)


def test_what_cannot_fit_is_refused_and_the_named_window_fits() -> None:
    device = torch.device("cuda", 0)
    model = little_model(patch_size=14, img_size=518).to(device)
    available = memory_limit(device)
    assert available is not None
    many = ForwardPass.of(model, 100_000, (518, 518), torch.bfloat16)
    with pytest.raises(UserError, match=r"memory for 100000 frames .* take windows of \d+ frames \(--window \d+\)"):
        memory_needed(many, device)


def test_a_failed_allocation_names_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 0)
    model = little_model(patch_size=14, img_size=518).to(device)
    clip = torch.rand(200, 3, 518, 518)
    monkeypatch.setattr("page4d.model.memory.memory_limit", lambda _: 2_500_000_000)
    torch.cuda.empty_cache()  # what other tests left counts against the limit
    torch.cuda.set_per_process_memory_fraction(2e9 / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(
            UserError, match=r"do not fit into the memory of cuda:0; take windows of (\d+) frames"
        ) as said:
            predict(model, clip)
        window = int(str(said.value).split("windows of ")[1].split()[0])
        assert len(predict(model, clip[: window + 1], windows=Windows(window, 1))) == window + 1
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
