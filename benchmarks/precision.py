"""What bfloat16 costs and gives: seconds and distance from float32 on a CPU, TF32 and torch.compile on a CUDA device.

    python benchmarks/precision.py             this CPU: full width, 6 block pairs, 4 frames of 518 x 336 px
    python benchmarks/precision.py --profile   and the operations that take the most time in bfloat16
    python benchmarks/precision.py --cuda      the full network on a CUDA device, 10 frames

Weights are drawn so that every block matters; the distance is that of outputs, |a - b| / |b|. Seconds are the best of
three passes (`--repeat`) after one that warms up. One JSON line comes out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from memory import FULL, HEIGHT, WIDTH
from stored import store
from torch import Tensor, nn

from page4d.model import PAGE4D, PAGE4DConfig

SHALLOW = replace(
    FULL, depth=6, patch_embed="conv", mask_source=1, masked_pairs=(2, 3), dpt_pairs=(1, 3, 4, 5)
)  # fmt: skip


def drawn_network(config: PAGE4DConfig, device: str) -> PAGE4D:
    """PyTorch's own initial weights, with LayerScale as large as after training."""
    torch.manual_seed(0)
    with torch.device(device):
        model = PAGE4D(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("gamma"):
                weight.fill_(0.2)
    return model


def timed(call: Callable[[], Any], repeat: int = 3) -> tuple[float, float, Any]:
    """Best wall seconds, CPU seconds of that pass, and the result; the first pass is not counted."""
    out = call()
    seconds = []
    for _ in range(repeat):
        start, cpu = time.perf_counter(), time.process_time()
        out = call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append((time.perf_counter() - start, time.process_time() - cpu))
    return *min(seconds), out


def distance(actual: dict[str, Any], expected: dict[str, Any]) -> dict[str, float]:
    """|a - b| / |b| of each output."""
    names = [name for name in ("pose_enc", "depth", "world_points") if name in expected]
    return {name: float((actual[name] - expected[name]).norm() / expected[name].norm()) for name in names}


def on_cpu(profile: bool, repeat: int) -> dict[str, Any]:
    """float32, autocast over float32 weights, and held matrices; whole pass and aggregator alone."""
    model = drawn_network(SHALLOW, "cpu")
    images = torch.rand(1, 4, 3, HEIGHT, WIDTH)
    found: dict[str, Any] = {"threads": torch.get_num_threads(), "capability": torch.backends.cpu.get_cpu_capability()}
    found["mkldnn_bf16"] = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    expected: dict[str, Any] = {}
    for name in ("float32", "autocast", "held"):
        if name == "held":
            model.hold_matrices(torch.bfloat16)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=name == "autocast"):
            tokens, _, _ = timed(lambda: model.aggregator(images), repeat)
            seconds, cpu, out = timed(lambda: model(images), repeat)
        expected = expected or out
        found[name] = {"seconds": seconds, "aggregator": tokens, "cpu_seconds": cpu, "far": distance(out, expected)}
    found |= {"products": products()}
    if profile:
        found["operations_ms"] = operations(model, images)
    return found


def products(tokens: int = 3572) -> dict[str, float]:
    """TFLOP/s of the MLP's first product: plain float32, bfloat16, and bfloat16 with its weight packed beforehand."""
    x, layer = torch.rand(tokens, 1024), nn.Linear(1024, 4096)
    half_x, half = x.bfloat16(), nn.Linear(1024, 4096).bfloat16()
    work = 2 * tokens * 1024 * 4096 / 1e12
    calls: dict[str, Callable[[], Tensor]] = {"float32": lambda: layer(x), "bf16": lambda: half(half_x)}
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        packed = torch.ops.mkldnn._reorder_linear_weight(half.weight.detach(), tokens)
        bias = half.bias.detach()
        calls["bf16_packed"] = lambda: torch.ops.mkldnn._linear_pointwise(half_x, packed, bias, "none", [], "")
    q = torch.rand(1, 16, tokens, 64)
    attention = 4 * tokens * tokens * 1024 / 1e12
    rates = {}
    with torch.inference_mode():
        for name, call in calls.items():
            rates[name] = work / timed(call)[0]
        for dtype in (torch.float32, torch.bfloat16):
            p = q.to(dtype)
            spent, _, _ = timed(lambda p=p: nn.functional.scaled_dot_product_attention(p, p, p))  # type: ignore[misc]
            rates[f"attention_{dtype}".replace("torch.", "")] = attention / spent
    return rates


def operations(model: PAGE4D, images: Tensor) -> dict[str, float]:
    """Milliseconds of the fifteen most expensive operations of one pass, without those they call."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler, torch.inference_mode():
        model(images)
    rows = sorted(profiler.key_averages(), key=lambda row: -row.self_cpu_time_total)[:15]
    return {row.key: round(row.self_cpu_time_total / 1e3, 1) for row in rows}


def on_cuda(frames: int = 10) -> dict[str, Any]:
    """Held matrices: TF32 in the heads' convolutions on and off, the mask's price, and torch.compile."""
    config = replace(FULL, mask_hold_start=1, mask_hold_end=1)
    model = drawn_network(config, "cuda")
    images = torch.rand(1, frames, 3, HEIGHT, WIDTH, device="cuda")
    found: dict[str, Any] = {}

    def note(name: str) -> dict[str, Any]:
        with torch.inference_mode():
            seconds, _, out = timed(lambda: model(images))
        found[name] = {"seconds": seconds}
        return {key: value.cpu() for key, value in out.items() if isinstance(value, Tensor)}

    torch.backends.cudnn.allow_tf32 = False
    expected = note("float32")
    model.hold_matrices(torch.bfloat16)
    exact = note("held")
    found["held"]["far"] = distance(exact, expected)
    torch.backends.cudnn.allow_tf32 = True
    found["tf32_far"] = distance(note("held_tf32"), exact)
    model.aggregator.mask_step = 1
    plain = note("held_tf32_no_mask")
    start = time.perf_counter()
    for block in model.aggregator.modules():
        if type(block).__name__ == "Block":
            block.compile()
    with torch.inference_mode():
        model(images)
    torch.cuda.synchronize()
    warm_up = time.perf_counter() - start
    compiled = note("compiled")
    found["compiled"] |= {"warm_up": warm_up, "far": distance(compiled, plain)}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuda", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--repeat", type=int, default=3, help="passes on a CPU, of which the best counts")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found = on_cuda() if args.cuda else on_cpu(args.profile, args.repeat)
    store(args.out, "cuda" if args.cuda else "cpu", found)


if __name__ == "__main__":
    main()
