"""Where a pass spends its work: floating-point operations and bytes by kind, counted, and the roofs they stand under.

    python benchmarks/roofline.py                 10, 100, 200 frames of 518 x 336 px in bfloat16: under two minutes
    python benchmarks/roofline.py --frames 4 --precision float32
    python benchmarks/roofline.py --roof          this processor's own roof, measured: products and copies

The full network runs on fake CUDA tensors, which have shapes but no memory. Every operation is counted as a GPU would
run it by itself: it reads each of its inputs once and writes its outputs once; attention is fused and never writes its
matrix. A multiplication with its addition is two operations. `--roof` measures products of the MLP's shape and copies
of memory on this machine, with as many threads as torch takes.

Known:   caches between operations are not seen, so the bytes are an upper bound of what reaches memory.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from memory import FULL, HEIGHT, WIDTH, Operations, Pass, fake_tensors, forward
from precision import products, timed
from stored import store
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from page4d.model import PAGE4D
from page4d.model.memory import ForwardPass

PRODUCTS, CONVOLUTIONS, REST = "matrix products", "convolutions", "norms, sums and copies"
FRAME, GLOBAL = "attention in a frame", "attention over all frames"
COPIED_BYTES = 1 << 28
aten = torch.ops.aten


@dataclass
class Work:
    """What one kind of operations does."""

    flop: float = 0.0
    moved_bytes: float = 0.0


class CountedWork(Operations):
    """Floating-point operations and bytes of everything that runs inside, by kind of operation."""

    def __init__(self, tokens_of_a_frame: int) -> None:
        super().__init__()
        self.tokens_of_a_frame = tokens_of_a_frame
        self.kinds: dict[str, Work] = defaultdict(Work)

    def ran(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """Count an operation."""
        if func is aten.scaled_dot_product_attention.default:
            self.attention(*args, out)
        else:
            self.operation(func, (args, kwargs), out)

    def attention(self, q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:
        """Two products for each pair of a query and a key."""
        kind = self.kinds[FRAME if k.shape[-2] <= self.tokens_of_a_frame else GLOBAL]
        kind.flop += 4.0 * q.numel() * k.shape[-2]
        kind.moved_bytes += sum(map(stored_bytes, (q, k, v, out)))

    def operation(self, func: Any, given: Any, out: Any) -> None:
        """Anything else; what only looks at memory in another way moves nothing."""
        read = [value for value in tree_leaves(given) if isinstance(value, Tensor)]
        made = [value for value in tree_leaves(out) if isinstance(value, Tensor)]
        known = {value.untyped_storage()._cdata for value in read}
        written = [value for value in made if value.untyped_storage()._cdata not in known]
        if not written and not func._schema.is_mutable:
            return
        kind = self.kinds[kind_of(func)]
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            kind.flop += count(*given[0], **given[1], out_val=out)
        kind.moved_bytes += sum(map(stored_bytes, read + (written or made)))


def kind_of(func: Any) -> str:
    """The kind of an operation that is no attention."""
    if "convolution" in str(func):
        return CONVOLUTIONS
    return PRODUCTS if func._overloadpacket in flop_registry else REST


def stored_bytes(tensor: Tensor) -> float:
    """What has to be read of a tensor; one that is only spread out is as large as what is behind it."""
    return float(min(tensor.numel() * tensor.itemsize, tensor.untyped_storage().nbytes()))


def counted(one: Pass) -> dict[str, dict[str, float]]:
    """TFLOP and GB of one pass by kind."""
    tokens = ForwardPass(FULL, 1, HEIGHT, WIDTH).tokens
    work = CountedWork(tokens)
    with fake_tensors(), torch.inference_mode():
        with torch.device(one.device):
            model = PAGE4D(one.config).eval()
        if one.precision == "bf16":
            model.hold_matrices(torch.bfloat16)
        images = torch.empty(1, one.frames, 3, HEIGHT, WIDTH, device=one.device)
        with work:
            forward(model, images, one)
    return {
        name: {"tflop": round(kind.flop / 1e12, 5), "gb": round(kind.moved_bytes / 1e9, 4)}
        for name, kind in sorted(work.kinds.items())
    }


def measured_roof() -> dict[str, float]:
    """TFLOP/s of the MLP's first product in two types, and GB/s of a copy (read and written)."""
    rates = products()
    there = torch.empty(COPIED_BYTES, dtype=torch.uint8)
    here = torch.zeros_like(there)
    copied, _, _ = timed(lambda: there.copy_(here), 5)
    return {
        "float32_tflop_s": round(rates["float32"], 4),
        "bf16_tflop_s": round(rates["bf16"], 4),
        "gb_s": round(2 * COPIED_BYTES / copied / 1e9, 2),
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    """Count or measure, print, and store the part that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[10, 100, 200])
    parser.add_argument("--precision", choices=("bf16", "float32"), default="bf16")
    parser.add_argument("--roof", action="store_true", help="measure this processor's roof, count nothing")
    parser.add_argument("--out", type=Path, help="JSON file in which the part is replaced")
    args = parser.parse_args()
    if args.roof:
        part, found = "roof", measured_roof()
    else:
        part = f"counted_{args.precision}"
        found = {str(frames): counted(Pass(frames, precision=args.precision)) for frames in args.frames}
    store(args.out, part, found | {"clip_px": [WIDTH, HEIGHT]})


if __name__ == "__main__":
    main()
