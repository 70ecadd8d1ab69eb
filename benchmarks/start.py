"""Where the time goes before the first result of `page4d predict` with the built-in network, part by part.

    python benchmarks/start.py                   five processes, medians: half a minute
    python benchmarks/start.py --frames 8        another clip

Each run is a process of its own, so that every library is imported anew. The parts are what the command does, in its
order, and a library counts for the part that first asks for it; ending the process comes after the result and is told
too. Pictures are drawn before and lie on the disk. The whole command is run as well, as a user runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

CPU_OF_PYTHON = time.process_time()  # everything up to the first line of a process

WIDTH, HEIGHT = 518, 336
Made = TypeVar("Made")


class Parts:
    """CPU and wall seconds of named parts, one after the other."""

    def __init__(self) -> None:
        self.seconds: dict[str, dict[str, float]] = {}

    def add(self, name: str, work: Callable[[], Made]) -> Made:
        """Do a part and keep what it took."""
        cpu, wall = time.process_time(), time.perf_counter()
        made = work()
        self.seconds[name] = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        return made


def one_start(pictures: Path, out: Path) -> dict[str, Any]:
    """The parts of one start in this process, and which libraries came with them."""
    parts = Parts()
    parts.seconds["python"] = {"cpu_s": CPU_OF_PYTHON}
    parts.add("import torch", _torch)
    parts.add("import page4d", _page4d)
    from page4d.cli.prediction_input import moving_of
    from page4d.inference import predict
    from page4d.io.frames import FrameOptions, load_frames
    from page4d.model import PAGE4D

    model = parts.add("weights", lambda: PAGE4D.from_pretrained("tiny"))
    options = FrameOptions("crop", model.config.img_size, model.config.patch_size)
    frames = parts.add("pictures", lambda: load_frames([pictures], options))
    prediction = parts.add("first pass", lambda: predict(model, frames))
    moving = parts.add("moving mask", lambda: moving_of(prediction, "auto"))
    parts.add("writing", lambda: _write(prediction, moving, out))
    # Not of the start: what a pass takes once everything is warm.
    parts.add("second pass", lambda: predict(model, frames))
    libraries = sorted({"scipy", "trimesh", "cv2", "PIL"} & sys.modules.keys())
    return {"parts": parts.seconds, "libraries": libraries, "cpu_s": time.process_time()}


def _torch() -> None:
    import torch  # noqa: F401


def _page4d() -> None:
    import page4d.inference
    import page4d.io.frames
    import page4d.model  # noqa: F401


def _write(prediction: Any, moving: Any, out: Path) -> None:
    from page4d.cli.predict import write_outputs
    from page4d.result.cloud import CloudOptions

    write_outputs(prediction, out, CloudOptions(max_points=1_000_000), moving)


def whole_command(pictures: Path, out: Path) -> dict[str, float]:
    """`page4d predict` as it stands, CPU of the process with all that it starts."""
    before, wall = _children(), time.perf_counter()
    words = ["predict", str(pictures), "--out", str(out), "--weights", "tiny", "--device", "cpu"]
    subprocess.run([sys.executable, "-m", "page4d", *words], check=True, stdout=subprocess.DEVNULL)
    return {"cpu_s": _children() - before, "wall_s": time.perf_counter() - wall}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure over several runs."""
    return {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}


def draw(folder: Path, count: int) -> None:
    """Pictures of smooth noise that drifts."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)
    wide = Image.fromarray(noise).resize((WIDTH + 8 * count, HEIGHT), Image.Resampling.BICUBIC)
    for i in range(count):
        wide.crop((8 * i, 0, 8 * i + WIDTH, HEIGHT)).save(folder / f"{i:03d}.png")


def in_a_process(pictures: Path, out: Path) -> dict[str, Any]:
    """`one_start` in a process of its own, and what the process takes to end when all is done."""
    out.mkdir()
    words = [sys.executable, __file__, "--one", str(pictures), str(out)]
    before = _children()
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    told: dict[str, Any] = json.loads(said.splitlines()[-1])
    told["parts"]["end of the process"] = {"cpu_s": _children() - before - told["cpu_s"]}
    return told


def main() -> None:
    """Start several times, print, store under `start`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file in which the part `start` is replaced")
    parser.add_argument("--one", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(one_start(*args.one)))
        return
    from stored import store

    with tempfile.TemporaryDirectory() as name:
        pictures, out = Path(name, "pictures"), Path(name, "out")
        pictures.mkdir()
        draw(pictures, args.frames)
        runs = [in_a_process(pictures, out.with_name(f"parts{i}")) for i in range(args.repeats)]
        whole = [whole_command(pictures, out.with_name(f"whole{i}")) for i in range(args.repeats)]
    parts = {part: medians([run["parts"][part] for run in runs]) for part in runs[0]["parts"]}
    found = {"frames": args.frames, "size_px": [WIDTH, HEIGHT], "threads": os.environ.get("OMP_NUM_THREADS", "all")}
    found |= {"repeats": args.repeats, "parts": parts, "whole": medians(whole), "libraries": runs[0]["libraries"]}
    store(args.out, "start", found)


if __name__ == "__main__":
    main()
