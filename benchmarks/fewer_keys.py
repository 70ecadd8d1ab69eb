"""Does it pay to look at fewer keys in global attention? The small networks on long clips of the synthetic world.

    python benchmarks/fewer_keys.py                       some fifteen minutes of one core
    python benchmarks/fewer_keys.py --frames 8 --clips 2  quicker
    python benchmarks/fewer_keys.py --out FILE.json       elsewhere than benchmarks/results/fewer_keys.json

"all" is the network as it is, "one of four" what `page4d predict --fewer-keys` does; "mean of four" averages keys and
values of every 2 x 2 patches in place of taking one. All three see the same clips. Errors are those of the exam; their
change against "all" is paired by clip, with its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from page4d import PAGE4D
from page4d.evaluate.exam import Exam, network_rows
from page4d.evaluate.exam_results import Rows
from page4d.evaluate.statistics import average_of, difference, table_of
from page4d.model import layers
from page4d.version import provenance

RESULTS = Path(__file__).parent / "results" / "fewer_keys.json"
WEIGHTS = ("page4d-tiny", "page4d-tiny-mask")
SPLIT = "dynamic-test"
SCORES = ("abs_rel", "rotation", "direction")


def mean_of_four(values: Tensor, frames: int, grid: layers.Grid) -> Tensor:
    """As `layers.fewer`, but with the mean of every 2 x 2 patches."""
    own = values.unflatten(2, (frames, -1))
    first, others = own[:, :, 0], own[:, :, 1:]
    special, patches = others.split((layers.NUM_SPECIAL, grid[0] * grid[1]), 3)
    maps = patches.movedim(-1, 3).unflatten(-1, grid)
    means = F.avg_pool2d(maps.flatten(0, 2), 2, ceil_mode=True, count_include_pad=False)
    pooled = means.unflatten(0, maps.shape[:3]).flatten(-2).movedim(3, -1)
    return torch.cat((first, torch.cat((special, pooled), 3).flatten(2, 3)), 2)


WAYS = {"all": None, "one of four": layers.fewer, "mean of four": mean_of_four}


def measured(model: PAGE4D, way: str, frames: int, clips: int) -> tuple[Rows, float]:
    """Scores of every clip, and the processor's seconds of all passes."""
    exam = Exam(frames=frames, batch_size=1, sequences=clips).at_side(model.config.img_size)
    model.aggregator.fewer_keys = WAYS[way] is not None
    rows: Rows = []
    seconds = 0.0
    for batch in exam.batches(SPLIT, clips):
        with patch.object(layers, "fewer", WAYS[way]):
            start = time.process_time()
            rows += network_rows(model, batch)
            seconds += time.process_time() - start
    return rows, seconds


def rows_of(weights: str, frames: int, clips: int) -> list[dict[str, Any]]:
    """One row for each way."""
    model = PAGE4D.from_pretrained(weights).eval()
    every, base = measured(model, "all", frames, clips)
    found = []
    for way in WAYS:
        scored, seconds = (every, base) if way == "all" else measured(model, way, frames, clips)
        ours, whole = table_of(scored), table_of(every)
        row: dict[str, Any] = {"weights": weights, "frames": frames, "keys": way, "cpu_s": round(seconds / clips, 3)}
        row |= {name: float(f"{average_of(ours, name):.4g}") for name in SCORES}
        row["change"] = [float(f"{value:.3g}") for value in difference(ours, whole, "abs_rel")]
        found.append(row)
        print(json.dumps(row), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 32, 64])
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--weights", nargs="+", default=WEIGHTS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows = [row for name in args.weights for count in args.frames for row in rows_of(name, count, args.clips)]
    about = provenance() | {"clips": args.clips, "split": SPLIT, "size_px": [112, 112]}
    args.out.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
