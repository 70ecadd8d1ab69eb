"""What is fast on this machine: a minute of measurements before `family.py` spends ten."""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from training import measure, wait

from page4d.data.loader import BatchShare, make_ahead
from page4d.schema import atomic_write
from page4d.train.setup import data_from
from page4d.train.sources import DrawnBatch
from page4d.version import provenance
from page4d.world import render_tables

KINDS = (("bf16", 64, True), ("bf16", 64, False), ("bf16", 32, True), ("bf16", 128, True), ("no", 64, True))


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


def training(
    config: Mapping[str, Any], args: argparse.Namespace, precision: str, clips: int, graphs: bool
) -> dict[str, Any]:
    """A step of a stage in its parts."""
    values = copy.deepcopy(dict(config))
    values["start"] |= {"weights": None, "fresh": [], "layer_scale": 0.1}
    values["trainer"] |= {"precision": precision, "device": args.device, "workers": 0, "threads": args.threads}
    values["trainer"]["cuda_graphs"] = graphs and args.device == "auto" and torch.cuda.is_available()
    values["data"] |= {"batch_size": clips, "frames": None}
    return measure(values, steps=12)
