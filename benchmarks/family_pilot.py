"""What is fast on this machine: two minutes of measurements before `family.py` spends ten."""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from training import measure, wait

from page4d.data.loader import BatchShare, make_ahead
from page4d.schema import atomic_write
from page4d.train.delivery import delivered, reused
from page4d.train.loop import Trainer
from page4d.train.setup import data_from, trainer_from
from page4d.train.sources import DrawnBatch
from page4d.version import provenance
from page4d.world import render_tables

KINDS = (("bf16", 64, True), ("bf16", 64, False), ("bf16", 32, True), ("bf16", 128, True), ("no", 64, True))
LOOPS = ((32, 2), (64, 2), (128, 2))
LOOP_S = 3.0
FIRST_STEPS = 12  # recordings are made in them
KERNELS = 25


def pilot(configs: Mapping[str, Any], args: argparse.Namespace, out: Path) -> None:
    """Every measurement, told and written as soon as it is made."""
    found: dict[str, Any] = {"provenance": provenance(), "machine": machine()}
    tell(out, found, "machine")
    device = torch.device("cuda" if args.device == "auto" and torch.cuda.is_available() else "cpu")
    base = copy.deepcopy(configs["stages"]["static"])
    base["data"]["frames"] = None
    found["drawing"] = drawing(base, args.workers)
    tell(out, found, "drawing")
    found["rendering"] = rendering(base, device)
    tell(out, found, "rendering")
    for precision, clips, graphs in KINDS:
        name = f"{precision}-{clips}" + "-recorded" * graphs
        try:
            found[name] = training(base, args, precision, clips, graphs)
        except Exception as error:
            # A batch that does not fit is a finding, and the next one is still wanted.
            found[name] = {"failed": f"{type(error).__name__}: {error}"}
        tell(out, found, name)
    found["match"] = training(configs["stages"]["match"], args, "bf16", 64, True)
    tell(out, found, "match")
    for clips, reuse in LOOPS:
        name = f"loop-{clips}-used-{reuse}-times"
        found[name] = loop(pilot_trainer(base, args, clips, reuse), clips)
        tell(out, found, name)
    if device.type == "cuda":
        found["kernels"] = kernels(pilot_trainer(base, args, 64, 1))
        tell(out, found, "kernels")


def tell(out: Path, found: Mapping[str, Any], name: str) -> None:
    """Print the newest figures and write all."""
    print(f"{name:10} {json.dumps(found[name])}", flush=True)
    with atomic_write(out / "pilot.json", "w") as stream:
        json.dump(found, stream, indent=1)


def machine() -> dict[str, Any]:
    """What limits the loader."""
    shared = shutil.disk_usage("/dev/shm") if Path("/dev/shm").is_dir() else None
    return {"cores": os.cpu_count(), "shm_gb": round(shared.total / 1e9, 1) if shared else None}


def drawing(config: Mapping[str, Any], workers: int) -> dict[str, float]:
    """Clips a second that worker processes draw, one alone and all."""
    data = copy.deepcopy(config["data"]) | {"batch_size": 16}
    source = data_from(data).source
    began = time.perf_counter()
    source.batch(0, 0)
    alone = 16 / (time.perf_counter() - began)
    batches = make_ahead(source.batch, BatchShare(), 1, 10_000, workers)
    next(batches)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < 3.0:
        next(batches)
        count += 1
    seconds = time.perf_counter() - began
    batches.close()
    return {"alone": round(alone, 1), "workers": workers, "together": round(16 * count / seconds, 1)}


def rendering(config: Mapping[str, Any], device: torch.device) -> dict[str, float]:
    """Clips a second that the device renders, and how far its depth is from the processor's."""
    source = data_from(copy.deepcopy(config["data"]) | {"batch_size": 64}).source
    drawn = source.batch(0, 0)
    assert isinstance(drawn, DrawnBatch)
    little = drawn.tables.rows(slice(0, 8))
    here, there = render_tables(little), render_tables(little.to(device))
    far = (there.depth.cpu() - here.depth).abs() / here.depth.clamp(min=0.1)
    times = []
    for _ in range(6):
        wait(device)
        began = time.perf_counter()
        drawn.to(device)
        wait(device)
        times.append(time.perf_counter() - began)
    share = float((far > 1e-3).float().mean())
    return {"clips_per_second": round(64 / sorted(times)[len(times) // 2], 1), "depth_differs": share}


def pilot_trainer(config: Mapping[str, Any], args: argparse.Namespace, clips: int, reuse: int) -> Trainer:
    """A trainer of a stage that keeps nothing."""
    values = begun_anew(config, args, args.precision, clips, args.graphs)
    values["data"]["val"] = {}
    values["paths"]["run"] = tempfile.mkdtemp()
    values["trainer"] |= {"workers": args.workers, "reuse": reuse}
    trainer = trainer_from(values)
    trainer.module.train()
    return trainer


def loop(trainer: Trainer, clips: int) -> dict[str, float]:
    """Steps as a run takes them: batches are drawn by workers and rendered beside the steps."""
    device, reuse = trainer.accelerator.device, trainer.settings.trainer.reuse
    made = make_ahead(trainer.source.batch, BatchShare(), 0, 10_000, trainer.settings.trainer.workers)
    delivery = delivered(made, device)
    batches = reused(delivery, reuse)
    for _ in range(FIRST_STEPS):
        trainer.iteration(batches)
    wait(device)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < LOOP_S:
        trainer.iteration(batches)
        steps += 1
    wait(device)
    seconds = time.perf_counter() - began
    delivery.close()
    made.close()
    return {"steps_per_second": round(steps / seconds, 2), "clips_per_second": round(clips * steps / seconds, 1)}


def kernels(trainer: Trainer) -> dict[str, Any]:
    """What a step spends the GPU's time on: the kernels that take most of it."""
    batch = trainer.source.batch(0, 0).to(trainer.accelerator.device)
    for _ in range(FIRST_STEPS):
        trainer.iteration(iter([batch]))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        trainer.iteration(iter([batch]))
        wait(trainer.accelerator.device)
    events = sorted(profile.key_averages(), key=lambda event: -event.self_device_time_total)
    whole = sum(event.self_device_time_total for event in events)
    most = [(event.key[:80], event.count, round(event.self_device_time_total / 1000, 2)) for event in events[:KERNELS]]
    return {"ms": round(whole / 1000, 2), "launches": sum(event.count for event in events), "most": most}


def training(
    config: Mapping[str, Any], args: argparse.Namespace, precision: str, clips: int, graphs: bool
) -> dict[str, Any]:
    """A step of a stage in its parts."""
    values = begun_anew(config, args, precision, clips, graphs)
    values["trainer"]["workers"] = 0
    return measure(values, steps=12)


def begun_anew(
    config: Mapping[str, Any], args: argparse.Namespace, precision: str, clips: int, graphs: bool
) -> dict[str, Any]:
    """The configuration of a stage that begins with random weights, on clips of one length."""
    values = copy.deepcopy(dict(config))
    values["start"] |= {"weights": None, "fresh": [], "layer_scale": 0.1}
    values["trainer"] |= {"precision": precision, "device": args.device, "threads": args.threads}
    values["trainer"]["cuda_graphs"] = graphs and args.device == "auto" and torch.cuda.is_available()
    values["data"] |= {"batch_size": clips, "frames": None}
    return values
