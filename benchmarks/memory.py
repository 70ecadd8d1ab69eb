"""How much memory a forward pass takes: computed without a GPU and, where there is one, measured.

    python benchmarks/memory.py                        10, 100, 200 frames of 518 x 336 px in bf16: about two minutes
    python benchmarks/memory.py --frames 32 --mask     another clip, the masked network
    python benchmarks/memory.py --cpu                  beside it: one real pass of 4 frames in float32 on this CPU
    python benchmarks/memory.py --measure              on a CUDA device: peaks and seconds as one line of JSON

The forward runs on fake CUDA tensors, which have shapes but no memory; every storage that an operation makes is counted
from its birth to its release. Weights are random: values do not matter, and nothing is downloaded.

Known:   what a kernel takes inside one operation (workspaces of convolutions and matrix products) is not seen, nor what
         the allocator loses to gaps; `--measure` says how much both are.
"""

from __future__ import annotations

import argparse
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from stored import store
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from page4d.model import PAGE4D, PAGE4DConfig
from page4d.model.memory import CONTEXT_BYTES, ForwardPass, estimate_memory

HEIGHT, WIDTH = 336, 518
BLOCK_BYTES = 512  # CUDA's allocator rounds up to these
FULL = PAGE4DConfig(enable_track=False)
RESULTS = Path(__file__).parent / "results" / "memory.json"
aten = torch.ops.aten


@dataclass(frozen=True)
class Pass:
    """One forward pass: what runs, on how many frames, and in which precision.

    Note:    precision "bf16" holds the aggregator's matrices in bfloat16 as `page4d predict` does on a GPU, "autocast"
             holds them in float32 under autocast to bfloat16 as VGGT's recipe does, "float32" uses neither.
    """

    frames: int
    mask: bool = False
    precision: str = "bf16"
    device: str = "cuda"

    @property
    def config(self) -> PAGE4DConfig:
        """The full network without track head."""
        return replace(FULL, mask_hold_start=int(self.mask), mask_hold_end=int(self.mask))


class Operations(TorchDispatchMode):
    """Tells of every operation as a GPU runs it by itself: composite ones come apart, attention is fused."""

    # What FakeTensorMode would take apart into Python formulas, though the GPU has one kernel for it.
    KERNELS = frozenset({aten.upsample_bilinear2d.vec, aten._upsample_bicubic2d_aa.vec})

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is aten.scaled_dot_product_attention.default:
            out = fused_attention(*args[:3])
            self.ran(func, args[:3], {}, out)
            return out
        if func is not torch.ops.prim.device.default and func not in self.KERNELS:
            # Composite operations come apart here, so that what they hold between their parts is counted too.
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        self.ran(func, args, kwargs, out)
        return out

    def ran(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """One operation, with what it was given and what it made."""
        raise NotImplementedError


class LiveStorages(Operations):
    """Bytes of all tensors that live now, and that lived at most, since the mode was made."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def ran(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Count what was made from its birth to its release."""
        tree_map_only(Tensor, self._count, out)

    def _count(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._known:
            size = -(-storage.nbytes() // BLOCK_BYTES) * BLOCK_BYTES
            self._known.add(key)
            weakref.finalize(storage, self._release, key, size)
            self.now += size
            self.peak = max(self.peak, self.now)
        return tensor

    def _release(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def fused_attention(q: Tensor, _k: Tensor, v: Tensor) -> Tensor:
    """What flash attention leaves behind: its output, in memory (B, tokens, heads, width)."""
    batch, heads, tokens, _ = q.shape
    return q.new_empty((batch, tokens, heads, v.shape[-1])).transpose(1, 2)


@contextmanager
def fake_tensors() -> Iterator[None]:
    """Tensors may say that they are on a GPU, and autocast believes that there is one."""
    with (
        FakeTensorMode(),
        patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
        patch("torch.cuda.is_bf16_supported", lambda *_, **__: True),
    ):
        yield


def computed_peak(one: Pass) -> int:
    """Bytes at the fullest moment, weights and images included."""
    live = LiveStorages()
    with fake_tensors(), torch.inference_mode(), live:
        with torch.device(one.device):
            model = PAGE4D(one.config).eval()
        if one.precision == "bf16":
            model.hold_matrices(torch.bfloat16)
        images = torch.empty(1, one.frames, 3, HEIGHT, WIDTH, device=one.device)
        live.peak = live.now
        forward(model, images, one)
    return live.peak


def forward(model: PAGE4D, images: Tensor, one: Pass) -> dict[str, Any]:
    """The pass itself."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=one.precision == "autocast"):
        predictions: dict[str, Any] = model(images)
    return predictions


def random_network(one: Pass) -> PAGE4D:
    """A network with drawn weights that was never anywhere but on the device, nor in another type."""
    with torch.device("meta"):
        model = PAGE4D(one.config).eval()
    if one.precision == "bf16":
        model.hold_matrices(torch.bfloat16)
    model.to_empty(device=one.device)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.02)
        for part in model.modules():
            if isinstance(part, nn.LayerNorm):
                part.weight.fill_(1.0)
    return model


def measured_pass(model: PAGE4D, one: Pass) -> dict[str, float]:
    """Peak and seconds of one pass on the CUDA device; the second one of a short clip, the first of a long one."""
    images = torch.rand(1, one.frames, 3, HEIGHT, WIDTH, device=one.device)
    for _ in range(2 if one.frames < 50 else 1):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.inference_mode():
            forward(model, images, one)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return {
        "frames": one.frames,
        "allocated_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2),
        "reserved_gb": round(torch.cuda.max_memory_reserved() / 1e9, 2),
        "seconds": round(seconds, 3),
    }


def runs_in_what_it_was_told(model: PAGE4D, one: Pass) -> dict[str, Any]:
    """Whether a pass finishes when it may take no more than what `page4d predict` says beforehand."""
    told = estimate_memory(ForwardPass.of(model, one.frames, (HEIGHT, WIDTH), torch.bfloat16)).on(torch.device("cuda"))
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((told - CONTEXT_BYTES) / total)
    try:
        measured_pass(model, one)
        ran = True
    except torch.OutOfMemoryError:
        ran = False
    torch.cuda.set_per_process_memory_fraction(1.0)
    return {"frames": one.frames, "told_gb": round(told / 1e9, 2), "ran": ran}


def measure(frames: list[int]) -> dict[str, Any]:
    """All clips with and without mask in bf16, and one clip by VGGT's recipe, on the CUDA device."""
    found: dict[str, Any] = {}
    variants = {
        "bf16": (Pass(4), frames),
        "bf16_mask": (Pass(4, mask=True), frames[1:2]),
        "autocast": (Pass(4, precision="autocast"), frames[:2]),
    }
    for name, (first, clips) in variants.items():
        model = random_network(first)
        measured_pass(model, first)  # kernels are loaded and chosen
        found[name] = [measured_pass(model, replace(first, frames=count)) for count in clips]
        if name == "bf16":
            found["told"] = [runs_in_what_it_was_told(model, replace(first, frames=count)) for count in clips]
        del model
    return found


def on_this_cpu(frames: int = 4) -> dict[str, float]:
    """Peak of resident memory over one real float32 pass, beside what is computed for it."""
    one = Pass(frames, precision="float32", device="cpu")
    before = resident("VmRSS")
    model, images = random_network(one), torch.rand(1, frames, 3, HEIGHT, WIDTH)
    start = time.process_time()
    with torch.inference_mode():
        forward(model, images, one)
    seconds = time.process_time() - start
    peak = (resident("VmHWM") - before) / 1e9
    computed = computed_peak(one) / 1e9
    return {"frames": frames, "measured_gb": peak, "computed_gb": computed, "cpu_seconds": seconds}


def resident(field: str) -> int:
    """Bytes of a line of /proc/self/status: VmHWM (peak) or VmRSS."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def main() -> None:
    """Compute or measure, print, and store under the part of the results that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[10, 100, 200])
    parser.add_argument("--mask", action="store_true")
    parser.add_argument("--precision", choices=("bf16", "autocast", "float32"), default="bf16")
    parser.add_argument("--cpu", action="store_true", help="one real pass on this CPU")
    parser.add_argument("--measure", action="store_true", help="on the CUDA device, nothing computed")
    parser.add_argument("--out", type=Path, help="JSON file in which the part is replaced")
    args = parser.parse_args()
    if args.measure:
        part, found = "measured", measure(args.frames)
    elif args.cpu:
        part, found = "cpu", on_this_cpu()
    else:
        part, found = f"computed_{args.precision}{'_mask' if args.mask else ''}", {}
        for frames in args.frames:
            found[str(frames)] = round(computed_peak(Pass(frames, args.mask, args.precision)) / 1e9, 3)
    store(args.out, part, found | {"clip_px": [WIDTH, HEIGHT]})


if __name__ == "__main__":
    main()
