"""Trains the small family, and the study beside it, in a stated time on one GPU, and scores everything there.

Run:     python benchmarks/family.py --compose family.json                         (once, where hydra is)
         python benchmarks/family.py --configs family.json --pilot --out FOLDER    (about 130 s: what is fast here?)
         python benchmarks/family.py --configs family.json --seconds 540 --out FOLDER
         python benchmarks/family.py --configs family.json --seconds 60 --micro --device cpu --out FOLDER
Stages:  match (48 px), grow (112 px), static (dense heads), long (vggt-tiny), dynamic (moving scenes), lengths (clips
         of 2 to 8 frames: page4d-tiny), mask (page4d-tiny-mask), arms (the study), exam. A stage that was trained
         before is given: --have static=FILE.
Note:    every stage ends by the clock and its learning rate with it, so the whole never overruns. What a stage made is
         written when it ends: a run that is cut off leaves what was done. Needs neither hydra nor a network.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import subprocess
import sys
import tarfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from family_exam import Exams, examine_network
from family_files import changed_weights, curve, last_values
from family_pilot import pilot

from page4d.model import PAGE4D
from page4d.schema import atomic_write
from page4d.train import snapshot
from page4d.train.loop import Trainer
from page4d.train.setup import compose_run, trainer_from
from page4d.version import code_revision, provenance

EXPERIMENTS = {
    "match": "tiny_match", "grow": "tiny_grow", "static": "tiny_pretrain", "long": "tiny_pretrain_long",
    "dynamic": "tiny_finetune_long", "lengths": "tiny_lengths", "mask": "tiny_mask_kept",
}  # fmt: skip
PUBLISHED = {"long": "vggt-tiny", "lengths": "page4d-tiny", "mask": "page4d-tiny-mask"}
BEFORE = {after: before for before, after in itertools.pairwise(EXPERIMENTS)}
# Shares of the whole time; a stage that was quicker leaves the rest to those after it.
PLAN = {
    "match": 0.08, "grow": 0.1, "static": 0.1, "long": 0.2, "dynamic": 0.25, "lengths": 0.05, "mask": 0.06,
    "arms": 0.12, "exam": 0.04,
}  # fmt: skip
NOMINAL_STEPS = 1_000_000  # more than the clock allows; mask schedules are stretched to it
FOR_EVER = 10**9
CLOSING_S = 4.0  # after its last step a stage validates and writes
TRIED_STEPS = 6
SAME_WITHIN = 0.03  # bf16 steps in another order of sums drift apart by this much in a few steps
RECORDED_REUSE = 2  # a recorded step is quicker than the rendering of a batch
TAR_BYTES = 15_000_000


@dataclass(frozen=True)
class Place:
    """Where things go: `out` for what is kept (few files), `scratch` for run folders."""

    out: Path
    scratch: Path

    def weights(self, stage: str) -> Path:
        """The weights that a stage ends with."""
        return self.scratch / f"{stage}.safetensors"


def main(words: Sequence[str] | None = None) -> int:
    """Compose, measure, or train."""
    args = parse(words)
    if args.compose:
        with atomic_write(args.compose, "w") as stream:
            json.dump(compose_all(), stream)
        return 0
    torch.set_num_threads(args.threads)
    configs = json.loads(Path(args.configs).read_text())
    if args.micro:
        configs = json.loads(json.dumps(configs), object_hook=shrink)
    place = Place(Path(args.out), Path(args.scratch or Path(args.out) / "scratch"))
    for folder in (place.out, place.scratch):
        folder.mkdir(parents=True, exist_ok=True)
    if args.arm:
        run_arm(configs, args, place)
        return 0
    if args.pilot:
        pilot(configs, args, place.out)
        return 0
    return Family(configs, args, place).run()


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compose", metavar="FILE", help="write the configurations of all stages and stop")
    parser.add_argument("--configs", metavar="FILE", help="configurations written by --compose")
    parser.add_argument("--out", default="family-out", help="folder for what is kept: at most eight files")
    parser.add_argument("--scratch", help="folder for run folders (default: in --out)")
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--stages", nargs="+", default=list(PLAN), choices=list(PLAN))
    parser.add_argument("--have", nargs="+", default=[], metavar="STAGE=FILE", help="weights of stages trained before")
    parser.add_argument("--plan", help='shares of the time as JSON, such as {"match": 0.1}; the rest as in PLAN')
    parser.add_argument("--pilot", action="store_true")
    parser.add_argument("--micro", action="store_true", help="networks and pictures of the smallest size")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu"])
    parser.add_argument("--precision", default="bf16", choices=["no", "bf16"])
    parser.add_argument("--graphs", action=argparse.BooleanOptionalAction, default=True, help="record steps on a GPU")
    parser.add_argument("--reuse", type=int, default=0, help="steps on each batch (default: 2 if recorded)")
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=0, help="clips of 4 frames in a batch (default: the experiment's)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--arms", nargs="+", default=None, help="arms of the study (default: all)")
    parser.add_argument("--arm-steps", type=int, default=400)
    parser.add_argument("--exam-clips", type=int, default=512)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--deadline", type=float, default=0.0, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def compose_all() -> dict[str, Any]:
    """The configuration of every stage and arm as plain values."""
    from page4d.config import compose_settings

    stages = {stage: compose_run([f"experiment={name}"]) for stage, name in EXPERIMENTS.items()}
    study = compose_settings(config_name="study")
    arms = {}
    for name, variant in study["variants"].items():
        if "experiment" in variant:
            config = compose_run([f"experiment={variant['experiment']}", *variant.get("overrides", [])])
            arms[name] = {"config": config, "true_mask": variant.get("true_mask", False)}
    return {"stages": stages, "arms": arms}


def shrink(values: dict[str, Any]) -> dict[str, Any]:
    """One mapping of a configuration at the smallest size; pairs and patterns stay as they are."""
    little = {
        "img_size": 32, "embed_dim": 32, "num_heads": 2, "dpt_features": 16, "dpt_channels": [8, 16, 16, 16],
        "camera_heads": 2, "height": 32, "width": 32, "batch_size": 4,
    }  # fmt: skip
    # A curriculum's list of batch sizes has the name of the batch size and is another thing.
    fits = {key for key, value in values.items() if key in little and isinstance(value, type(little[key]))}
    return values | {key: little[key] for key in fits}


def fitted(config: Mapping[str, Any], args: argparse.Namespace, run: Path, weights: Path | None) -> dict[str, Any]:
    """A configuration for this machine: where it runs, what it begins from, nothing on the screen."""
    values = copy.deepcopy(dict(config))
    values["paths"]["run"] = str(run)
    values["start"]["weights"] = str(weights) if weights else None
    values["trainer"] |= {
        "device": args.device, "precision": args.precision, "workers": args.workers, "threads": args.threads,
        "progress": False, "tensorboard": False, "image_every": 0, "save_every": 0, "keep": 1, "log_every": 10,
        "cuda_graphs": args.graphs and torch.cuda.is_available() and args.device == "auto",
        "reuse": args.reuse or (RECORDED_REUSE if args.graphs else 1),
    }  # fmt: skip
    return values


def by_the_clock(config: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The configuration with its schedules stretched over a time instead of a number of steps."""
    stretched(config, NOMINAL_STEPS)
    config["trainer"]["max_seconds"] = max(1.0, seconds)
    return config


def stretched(config: dict[str, Any], steps: int) -> None:
    """Give a run another number of steps and move the mask's schedule along."""
    factor = steps / config["trainer"]["max_steps"]
    config["trainer"]["max_steps"] = steps
    for name in ("mask_hold_start", "mask_hold_end"):
        if config["model"][name] < FOR_EVER:
            config["model"][name] = round(config["model"][name] * factor)


class Family:
    """All stages in order, each with a share of the time that is left."""

    def __init__(self, configs: Mapping[str, Any], args: argparse.Namespace, place: Place) -> None:
        self.configs, self.args, self.place = configs, args, place
        self.began = time.time()
        self.shares = PLAN | json.loads(args.plan or "{}")
        self.curves: dict[str, Any] = {}
        self.about: dict[str, Any] = {"provenance": provenance(), "arguments": vars(args), "stages": {}, "failed": {}}
        self.scores: dict[str, Any] = {}
        self.arm_names = list(args.arms or configs["arms"])
        self.choose_graphs()

    def choose_graphs(self) -> None:
        """Record steps only if the first ones equal plain ones on this card; a larger batch where they cannot be."""
        if not (self.args.graphs and torch.cuda.is_available() and self.args.device == "auto"):
            self.args.graphs = False
            return
        began = time.time()
        try:
            plain, recorded = (self.first_objectives(graphs) for graphs in (False, True))
            apart = max(abs(a - b) / abs(a) for a, b in zip(plain, recorded, strict=True))
            self.about["recorded_steps"] = {"plain": plain, "recorded": recorded, "apart": apart}
            self.args.graphs = apart < SAME_WITHIN
        except RuntimeError as error:
            self.about["recorded_steps"] = {"failed": str(error)}
            self.args.graphs = False
        self.about["recorded_steps"]["seconds"] = round(time.time() - began, 1)
        print(f"recorded steps: {self.about['recorded_steps']}", flush=True)

    def first_objectives(self, graphs: bool) -> list[float]:
        """The objective of the first few steps on one batch."""
        run = self.place.scratch / f"try-{graphs}"
        config = fitted(self.configs["stages"]["long"], self.args, run, None)
        config["start"] |= {"fresh": [], "layer_scale": 0.1}
        config["trainer"]["cuda_graphs"] = graphs
        trainer = trainer_from(config)
        trainer.module.train()
        batch = trainer.source.batch(0, 0).to(trainer.accelerator.device)
        values = [trainer.iteration(iter([batch])) for _ in range(TRIED_STEPS)]
        return [round(value["objective"], 4) for value in values if value is not None]

    def run(self) -> int:
        """Every stage; a failed one is told and the others go on from what there is."""
        for given in self.args.have:
            stage, path = given.split("=", 1)
            self.place.weights(stage).write_bytes(Path(path).read_bytes())
        for stage in self.args.stages:
            began = time.time()
            try:
                self.stage(stage, self.until(stage))
            except Exception:
                self.about["failed"][stage] = traceback.format_exc()
                print(self.about["failed"][stage], file=sys.stderr, flush=True)
            self.about["stages"].setdefault(stage, {})["wall_seconds"] = round(time.time() - began, 1)
            self.write()
            print(f"[{time.time() - self.began:6.1f} s] {stage}: {self.about['stages'][stage]}", flush=True)
        return 1 if self.about["failed"] else 0

    def until(self, stage: str) -> float:
        """When a stage must be over: its share of what is left for it and those after it."""
        after = self.args.stages[self.args.stages.index(stage) :]
        left = self.began + self.args.seconds - time.time()
        return time.time() + left * self.shares[stage] / sum(self.shares[name] for name in after)

    def stage(self, stage: str, until: float) -> None:
        """One of the stages."""
        if stage == "arms":
            self.arms(until)
        elif stage == "exam":
            self.exam()
        else:
            self.train(stage, until)

    def train(self, stage: str, until: float) -> None:
        """Train one network of the family and keep its weights."""
        before = self.place.weights(BEFORE[stage]) if stage in BEFORE else None
        config = fitted(self.configs["stages"][stage], self.args, self.place.scratch / stage, before)
        if self.args.batch:
            config["data"]["batch_size"] = self.args.batch
        config["trainer"]["validate_every"] = 1500
        trainer = trainer_from(by_the_clock(config, until - time.time() - CLOSING_S))
        told = train_and_export(trainer, self.place.weights(stage))
        self.about["stages"][stage] = told | {"parameters": trainer.describe()["parameters"]}
        self.curves[stage] = curve(trainer.folder)
        if stage in PUBLISHED:
            kept = self.place.out / f"{PUBLISHED[stage]}.safetensors"
            kept.write_bytes(self.place.weights(stage).read_bytes())

    def arms(self, until: float) -> None:
        """All arms of the study at once, each in a process of its own, one seed after the other."""
        running = {name: self.start_arm(name, until) for name in self.arm_names}
        codes = {name: ended(process, until + 3 * CLOSING_S) for name, process in running.items()}
        for name in running:
            for seed in self.args.seeds:
                folder = self.place.scratch / f"{name}-seed{seed}"
                self.curves[folder.name] = curve(folder)
        failed = [name for name, code in codes.items() if code]
        told = [json.loads(path.read_text()) for path in sorted(self.place.scratch.glob("*-seed*.json"))]
        self.about["stages"]["arms"] = {"runs": told}
        self.pack_arms()
        if failed:
            raise RuntimeError(f"arms {failed} failed; their output stands above")

    def start_arm(self, name: str, until: float) -> subprocess.Popen[bytes]:
        """Begin an arm in another process."""
        args = self.args
        words = [
            sys.executable, str(Path(__file__).resolve()), "--arm", name, "--configs", args.configs,
            "--out", str(self.place.out), "--scratch", str(self.place.scratch), "--deadline", str(until),
            "--device", args.device, "--precision", args.precision, "--workers", str(min(2, args.workers)),
            "--arm-steps", str(args.arm_steps), "--graphs" if args.graphs else "--no-graphs",
            "--reuse", str(args.reuse), "--seeds", *map(str, args.seeds),
        ]  # fmt: skip
        return subprocess.Popen([*words, "--micro"] if args.micro else words)

    def pack_arms(self) -> None:
        """Keep what the arms changed of the weights they began with, in archives of at most `TAR_BYTES` each."""
        start = PAGE4D.from_pretrained(self.place.weights("long")).state_dict()
        archives: list[list[tuple[str, Path]]] = [[]]
        size = 0
        for path in sorted(self.place.scratch.glob("*-seed*.safetensors")):
            small = changed_weights(path, start)
            size += small.stat().st_size
            if size > TAR_BYTES:
                archives.append([])
                size = small.stat().st_size
            archives[-1].append((path.name, small))
        for number, members in enumerate(archives):
            with tarfile.open(self.place.out / f"arms-{number}.tar", "w") as tar:
                for name, small in members:
                    tar.add(small, name)

    def exam(self) -> None:
        """Score every network on unseen clips of each split."""
        device = trainer_device(self.args.device)
        exams = Exams.of(self.configs["stages"]["static"], self.args.exam_clips, self.args.workers, device)
        for stage, name in PUBLISHED.items():
            path = self.place.weights(stage)
            if path.is_file():
                self.scores[name] = examine_network(path, exams, true_mask=False)
                if stage == "mask":
                    self.scores[f"{name} with the true mask"] = examine_network(path, exams, true_mask=True)
        for name in self.arm_names:
            for seed in self.args.seeds:
                path = self.place.scratch / f"{name}-seed{seed}.safetensors"
                if path.is_file():
                    given = self.configs["arms"][name]["true_mask"]
                    self.scores[path.stem] = examine_network(path, exams, true_mask=given)
        for name, splits in self.scores.items():
            print(f"{name:24}", {split: scores["mean"] for split, scores in splits.items()}, flush=True)
        self.about["stages"]["exam"] = {"networks": len(self.scores), "clips": self.args.exam_clips}

    def write(self) -> None:
        """Everything but weights, whole or not at all."""
        for name, values in (("run", self.about), ("curves", self.curves), ("scores", self.scores)):
            with atomic_write(self.place.out / f"{name}.json", "w") as stream:
                json.dump(values, stream, separators=(",", ":"), default=str)


def run_arm(configs: Mapping[str, Any], args: argparse.Namespace, place: Place) -> None:
    """One arm with every seed; the time until the deadline is shared evenly among the seeds that are left."""
    for done, seed in enumerate(args.seeds):
        run = place.scratch / f"{args.arm}-seed{seed}"
        config = fitted(configs["arms"][args.arm]["config"], args, run, place.weights("long"))
        stretched(config, args.arm_steps)
        left = args.deadline - time.time() - 1.0
        config["trainer"] |= {"seed": seed, "max_seconds": max(1.0, left / (len(args.seeds) - done) - 2.0)}
        # Another seed also sees other scenes.
        config["data"]["first"] = seed * 10_000_000
        config["data"]["val"] = {}
        trainer = trainer_from(config)
        told = train_and_export(trainer, run.with_suffix(".safetensors")) | {"arm": args.arm, "seed": seed}
        run.with_suffix(".json").write_text(json.dumps(told))


def ended(process: subprocess.Popen[bytes], until: float) -> int:
    """The exit code of a process that is stopped if it takes longer."""
    try:
        return process.wait(max(1.0, until - time.time()))
    except subprocess.TimeoutExpired:
        process.terminate()
        return process.wait() or 1


def train_and_export(trainer: Trainer, path: Path) -> dict[str, Any]:
    """Train to the end, write the last weights as they ship, and tell how fast it was."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    began = time.time()
    trainer.run()
    seconds, steps = trainer.position.seconds, trainer.position.step
    about = {"step": str(steps), "code_revision": code_revision(), "run": trainer.folder.name}
    model = trainer.model
    snapshot.export_weights(model.state_dict(), model.config, trainer.mask_step, path, about)
    data = trainer.config["data"]
    pictures = steps * data["batch_size"] * data["world"]["frames"]
    peak = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
    return {
        "steps": steps,
        "where": round(trainer.done_share, 4),
        "pictures": pictures,
        "pictures_per_second": round(pictures / seconds, 1),
        "steps_per_second": round(steps / seconds, 2),
        "seconds": round(time.time() - began, 1),
        "peak_gb": round(peak, 2),
        "last": last_values(trainer.folder),
    }


def trainer_device(wanted: str) -> torch.device:
    """The device that a trainer would choose."""
    return torch.device("cuda" if wanted == "auto" and torch.cuda.is_available() else "cpu")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
