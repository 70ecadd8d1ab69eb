"""Is a network short of scenes, or of steps? Its scores on clips that it trained on, and on others of the same kind.

    python benchmarks/seen.py                 some ten minutes of one core; results go to benchmarks/results
    python benchmarks/seen.py --batches 4     a look

The last batches of the stage that made `page4d-tiny` on moving scenes are drawn again (a batch is a pure function of
its number), and as many from far behind its end, which no stage has drawn. Both are of `dynamic-train` as the stage
drew it, with time steps of up to four frames, so neither is like `dynamic-test`. A network that knows the first better
has learned clips by heart, and more scenes would help it; one that does not is short of steps, or of parameters.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from family_exam import rendered
from stored import store

from page4d.evaluate import read_result, stored_results
from page4d.evaluate.exam import network_rows
from page4d.evaluate.exam_results import NETWORK, part_of
from page4d.model import PAGE4D
from page4d.train.setup import data_from
from page4d.train.sources import DrawnBatch, Source
from page4d.world import Batch

STAGE = "tiny_finetune_long"
FAR_BEHIND = 1_000
"""Batches between the end of the stage and those that it never drew."""


def batches_of(source: Source, split: str, number: int, step: int) -> Iterator[Batch]:
    """Batches of one split, from a number on, upwards or downwards."""
    while True:
        drawn = source.batch(number, number)
        assert isinstance(drawn, DrawnBatch)
        if drawn.dataset == split:
            yield rendered(drawn, torch.device("cpu"))
        number += step


def measure(weights: str, batches: int) -> dict[str, Any]:
    """Means and intervals of a network's scores, without and with clips that its training has seen."""
    run = read_result(stored_results("runs") / f"{STAGE}.json")["run"]
    data = run["config"]["data"]
    source = data_from(data).source
    last = run["ended"]["step"] // run["config"]["trainer"]["reuse"] - 1
    places = {"seen": (last, -1), "unseen": (last + FAR_BEHIND, 1)}
    model = PAGE4D.from_pretrained(weights)
    found: dict[str, Any] = {"weights": weights, "stage": STAGE, "split": data["split"]}
    for name, (number, step) in places.items():
        rows = []
        for batch in islice(batches_of(source, data["split"], number, step), batches):
            rows += network_rows(model, batch)
            print(f"{name}: {len(rows)} clips", flush=True)
        found[name] = part_of({NETWORK: rows}, with_clips=False)
    return found


def main() -> None:
    """Measure, and store the result beside the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="page4d-tiny")
    parser.add_argument("--batches", type=int, default=32, help="of each kind, 32 clips each")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "seen.json")
    args = parser.parse_args()
    store(args.out, args.weights, measure(args.weights, args.batches))


if __name__ == "__main__":
    main()
