"""Speed of the synthetic world: frames a second of one CPU core, and of a GPU where there is one.

Run:     python benchmarks/synthetic.py [--clips 16] [--frames 4] [--repeats 5]
Target:  60 frames/s at 112 x 112 on one CPU core, scene sampling included.
Note:    CPU figures divide by the process's own CPU time, so a busy machine only blurs them; the best of the repeats
         is printed. A figure depends on the machine, so none is asserted in a test.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from stored import store

from page4d.version import processor
from page4d.world import render_scenes, sample_scene, split_config, split_seeds

TARGET_FRAMES_PER_S = 60.0


def _best(work: Callable[[], object], clock: Callable[[], float], repeats: int) -> float:
    work()
    seconds = []
    for _ in range(repeats):
        start = clock()
        work()
        seconds.append(clock() - start)
    return min(seconds)


def _gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def measure(side: int, clips: int, frames: int, repeats: int, device: str) -> tuple[float, float]:
    """Seconds for sampling the scenes and for rendering them."""
    config = split_config("dynamic-train", height=side, width=side, frames=frames)
    seeds = split_seeds("dynamic-train", clips)
    scenes = [sample_scene(seed, config) for seed in seeds]
    clock = time.process_time if device == "cpu" else _gpu_clock
    sampling = _best(lambda: [sample_scene(seed, config) for seed in seeds], time.process_time, repeats)
    return sampling, _best(lambda: render_scenes(scenes, device), clock, repeats)


def main() -> None:
    """Print a table: size, device, share of the time in sampling, frames a second, ratio to the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file in which the part `world` is replaced")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}, one thread, torch {torch.__version__}")
    print(f"{args.clips} clips of {args.frames} frames of dynamic-train")
    devices = [("cpu", (48, 64, 112, 224))]
    if torch.cuda.is_available():
        print(torch.cuda.get_device_name())
        devices.append(("cuda", (48, 64, 112, 224, 518)))
    rates = {}
    for device, sides in devices:
        for side in sides:
            sampling, rendering = measure(side, args.clips, args.frames, args.repeats, device)
            rate = args.clips * args.frames / (sampling + rendering)
            rates[f"{device}_{side}"] = round(rate, 1)
            ratio = f"  {rate / TARGET_FRAMES_PER_S:.2f} x target" if (device, side) == ("cpu", 112) else ""
            share = sampling / (sampling + rendering)
            print(f"{device:>5} {side:4d} px  {rate:8.1f} frames/s  sampling {share:4.0%}{ratio}", flush=True)
    store(args.out, "world", {"frames_per_second": rates})


if __name__ == "__main__":
    main()
