"""Speed of the trainer: clips a second, and which part of a step takes how much of it.

Run:     python benchmarks/training.py [--steps 10] [--out FILE] [experiment=tiny_pretrain key=value ...]
Prints:  milliseconds and share of data (drawing and rendering), targets, forward, losses, backward, optimizer.
Note:    the parts are timed one after the other, each waited for; on a GPU a real step overlaps them, so the sum is
         more than a step takes. `whole` is what a step takes by itself, on a batch that lies on the device.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from stored import store

from page4d.train.batch import TrainBatch, targets_of
from page4d.train.loop import Trainer
from page4d.train.objective import dense_frames, objective
from page4d.train.setup import compose_run, trainer_from


def wait(device: torch.device) -> None:
    """Until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Clock:
    """Times named parts of a step."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.parts: dict[str, list[float]] = {}

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        """Do the work, wait for it, and note how long it took."""
        wait(self.device)
        began = time.perf_counter()
        done = work()
        wait(self.device)
        self.parts.setdefault(name, []).append(time.perf_counter() - began)
        return done

    def milliseconds(self) -> dict[str, float]:
        """The median of each part."""
        return {name: round(1000 * statistics.median(times), 2) for name, times in self.parts.items()}


def one_step(trainer: Trainer, clock: Clock, batch: TrainBatch) -> None:
    """A step in its parts, as the loop takes it."""
    settings, patch = trainer.settings, trainer.model.config.patch_size
    trainer.optimizer.zero_grad(set_to_none=True)
    targets = clock.time("targets", lambda: targets_of(batch, settings.loss.behaviour))
    dense = dense_frames(0, settings.trainer.dense_every, batch.images.shape[1])
    predictions = clock.time("forward", lambda: trainer.module(batch.images, None, None, dense))
    terms = clock.time(
        "losses", lambda: objective(predictions, targets, batch, settings, dense, patch, trainer.aid_weight)
    )
    clock.time("backward", lambda: trainer.accelerator.backward(terms["objective"]))
    clock.time("optimizer", lambda: (trainer._clip(), trainer.optimizer.step()))


def measure(config: Mapping[str, Any], steps: int, warmup: int = 3) -> dict[str, Any]:
    """Figures of one configuration: the parts of a step, a step in one go, and what it needs of memory."""
    with tempfile.TemporaryDirectory() as folder:
        values = dict(config) | {"paths": {**config["paths"], "run": folder}}
        trainer = trainer_from(values)
        trainer.module.train()
        device, clock = trainer.accelerator.device, Clock(trainer.accelerator.device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        batch = trainer.source.batch(0, 0).to(device)
        for _ in range(warmup):
            trainer.iteration(iter([batch]))
        for number in range(steps):
            if number % 4 == 0:
                drawn = clock.time("draw", lambda number=number: trainer.source.batch(number, 0))
                clock.time("render", lambda drawn=drawn: drawn.to(device))
            one_step(trainer, clock, batch)
        for _ in range(steps):
            clock.time("whole", lambda: trainer.iteration(iter([batch])))
        trainer.accelerator.free_memory()
    parts = clock.milliseconds()
    clips, frames = batch.images.shape[:2]
    return {
        "clips": clips,
        "frames": frames,
        "ms": parts,
        "clips_per_second": round(1000 * clips / parts["whole"], 1),
        "clips_per_second_with_data": round(1000 * clips / (parts["whole"] + parts["draw"] + parts["render"]), 1),
        "peak_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if device.type == "cuda" else None,
    }


def main() -> None:
    """Measure one experiment and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", default=["experiment=tiny_pretrain"])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file in which the part `training` is replaced")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    found = measure(compose_run([*args.overrides, "start.weights=null", "trainer.workers=0"]), args.steps)
    step = sum(ms for name, ms in found["ms"].items() if name != "whole")
    for name, ms in found["ms"].items():
        share = "" if name == "whole" else f"{100 * ms / step:5.1f} %"
        print(f"{name:10} {ms:9.1f} ms  {share}")
    print(f"{found['clips_per_second']} clips/s, with drawing and rendering {found['clips_per_second_with_data']}")
    store(args.out, "training", found | {"overrides": args.overrides, "threads": args.threads})


if __name__ == "__main__":
    main()
