"""Training steps of an earlier revision beside this one's, at the setting that the earlier one had: 48 px, width 96.

Run:     git worktree add --detach FOLDER 43e65e2
         python benchmarks/training_before.py FOLDER [--rounds 3] [--steps 8] [--out FILE]
Note:    processor seconds of one thread, the two in turns, so that whatever else runs disturbs both alike. A step is a
         batch of 16 new clips of 4 frames, drawn and rendered, and one iteration of the trainer on it. The earlier
         revision knows the first version of the world, this one the second, so data are stated by themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from stored import store

STEP = """
import json, sys, time
import torch
from page4d.train.setup import open_trainer
from page4d.version import code_revision
torch.set_num_threads(1)
steps, words = int(sys.argv[1]), sys.argv[2:]
trainer = open_trainer(words)
trainer.module.train()
data, whole = [], []
for number in range(steps + 2):
    began = time.process_time()
    batch = trainer.source.batch(number, 0).to(trainer.accelerator.device)
    drawn = time.process_time()
    trainer.iteration(iter([batch]))
    data.append(drawn - began)
    whole.append(time.process_time() - drawn)
print(json.dumps({"revision": code_revision(), "data": data[2:], "step": whole[2:]}))
"""
COMMON = (
    "experiment=tiny_pretrain", "start.weights=null", "start.fresh=[]", "trainer.workers=0", "trainer.threads=1",
    "trainer.device=cpu", "trainer.progress=false", "trainer.tensorboard=false", "trainer.image_every=0",
    "trainer.validate_every=0", "data.batch_size=16", "data.world.height=48", "data.world.width=48",
    "data.world.frames=4",
)  # fmt: skip
EARLIER = ("data.clips=0", "data.keep=false")
NOW = (
    "data.frames=null", "model.img_size=48", "model.embed_dim=96", "model.num_heads=3", "model.dpt_features=16",
    "model.dpt_channels=[16,32,32,32]",
)  # fmt: skip
ALL_FRAMES = "trainer.dense_every=1"
"""Dense heads on every frame, as the earlier trainer had them; the recipe of this one takes every other."""


def seconds(root: Path, steps: int, words: tuple[str, ...]) -> dict[str, object]:
    """Medians of a revision's processor seconds for a batch of data and for a step on it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", STEP, str(steps), *COMMON, *words, f"paths.run={folder}"]
        environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
        told = subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(told.splitlines()[-1])
    return {"revision": found["revision"]} | {name: statistics.median(found[name]) for name in ("data", "step")}


def main() -> None:
    """Take turns, and store medians over the rounds and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("earlier", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    here = Path(__file__).parent.parent
    asked = {"earlier": (args.earlier, EARLIER), "now": (here, NOW), "now, all frames": (here, (*NOW, ALL_FRAMES))}
    rounds: dict[str, list[dict[str, object]]] = {name: [] for name in asked}
    for _ in range(args.rounds):
        for name, (root, words) in asked.items():
            rounds[name].append(seconds(root.resolve(), args.steps, words))
    found = {name: middle(told) for name, told in rounds.items()}
    earlier = found["earlier"]["step_cpu_s"]
    ratios = {f"times as fast, {name}": round(earlier / found[name]["step_cpu_s"], 2) for name in asked}
    del ratios["times as fast, earlier"]
    about = {"clips": 16, "frames": 4, "side": 48, "threads": 1, "rounds": args.rounds, "steps": args.steps}
    store(args.out, "against an earlier revision", {**about, **found, **ratios})


def middle(told: list[dict[str, object]]) -> dict[str, object]:
    """Medians over the rounds, with the step's whole range."""
    steps = [found["step"] for found in told]
    return {
        "revision": told[0]["revision"],
        "data_cpu_s": round(statistics.median(found["data"] for found in told), 4),
        "step_cpu_s": round(statistics.median(steps), 4),
        "step_cpu_s_range": [round(min(steps), 4), round(max(steps), 4)],
    }


if __name__ == "__main__":
    main()
