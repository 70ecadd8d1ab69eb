"""Speed of the training data pipeline: frames a second from 640 x 480 files to batches at 518 px.

Run:     python benchmarks/loader.py [--workers 2] [--batches 6] [--format png|jpeg]
Target:  40 frames/s on 2 cores: decoding colour and 16-bit depth, cropping, resizing and the public colour
         augmentation, in the public mix of 2 to 16 frames and aspects 0.33 to 1.
Note:    the wall-clock figure counts on a quiet machine only. The second figure divides by the CPU time of this process
         and its workers, so a busy machine only blurs it: frames a second of one core.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from stored import store

from page4d.data.augmentation import ColourAugmentation
from page4d.data.datasets.base import Download, Frame, SceneDataset
from page4d.data.datasets.formats import read_rgb
from page4d.data.loader import ClipLoader
from page4d.data.mixing import Ingredient, Mix, TrainingLook
from page4d.data.sampling import ShapeRule, WindowRule
from page4d.data.transforms import Framing
from page4d.io.depth_png import read_depth_png, write_depth_png

FRAMES, HEIGHT, WIDTH = 48, 480, 640
TARGET_FRAMES_PER_S = 40.0


@dataclass(frozen=True)
class NoOptions:
    """Nothing can be chosen of these files."""


class Files(SceneDataset[NoOptions]):
    """One sequence of colour and depth files, read as the TUM loader reads its own."""

    name = "files"
    splits = ("train",)
    download = Download("files", "nothing", "0 GB", "made by this benchmark")
    options_kind = NoOptions

    def _scan(self) -> dict[str, list[int]]:
        return {"one": list(range(FRAMES))}

    def _frame(self, sequence: str, number: int) -> Frame:
        (path,) = self.root.glob(f"rgb_{number:03d}.*")
        K = np.array([[525.0, 0, 319.5], [0, 525.0, 239.5], [0, 0, 1]])
        depth = partial(read_depth_png, self.root / f"depth_{number:03d}.png", 5000.0)
        return Frame(read_rgb(path), depth, np.eye(4), K)


def write_files(folder: Path, kind: str) -> None:
    """Pictures with structure at all scales, as compressible as photographs, and smooth depth with holes."""
    rng = np.random.default_rng(0)
    for i in range(FRAMES):
        coarse = rng.integers(0, 256, (30, 40, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        grain = rng.normal(0, 3, (HEIGHT, WIDTH, 3))
        noisy = Image.fromarray((np.asarray(picture) + grain).clip(0, 255).astype(np.uint8))
        noisy.filter(ImageFilter.GaussianBlur(0.7)).save(folder / f"rgb_{i:03d}.{kind}")
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        depth = 2 + 0.002 * x + 0.001 * y + rng.normal(0, 0.003, (HEIGHT, WIDTH))
        depth[rng.random((HEIGHT, WIDTH)) < 0.02] = 0
        write_depth_png(folder / f"depth_{i:03d}.png", depth.astype(np.float32), 5000.0)


def measure(root: Path, workers: int, batches: int) -> tuple[float, float, int]:
    """Wall-clock seconds, CPU seconds of all processes, and frames, from the first batch asked to the last given."""
    ingredient = Ingredient(Files(root), windows=WindowRule((1, 2)), framing=Framing(zoom=(0.8, 1.2)))
    mix = Mix({"files": ingredient}, ShapeRule(), TrainingLook(ColourAugmentation(), tracks=0))
    start, cpu = time.perf_counter(), sum(os.times()[:4])
    frames = 0
    for clips in ClipLoader(mix, workers=workers, iterations=batches):
        frames += sum(len(clip) for clip in clips)
    # Children count once they have ended, which the loader's iterator sees to when it is exhausted.
    return time.perf_counter() - start, sum(os.times()[:4]) - cpu, frames


def main(argv: Sequence[str] | None = None) -> None:
    """Print both figures for each format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--format", choices=("png", "jpeg"), nargs="*", default=["png", "jpeg"])
    parser.add_argument("--out", type=Path, help="JSON file in which the part `loader` is replaced")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    rates = {}
    for kind in args.format:
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), kind)
            wall, cpu, frames = measure(Path(folder), args.workers, args.batches)
        rates[kind] = round(frames / cpu, 1)
        print(
            f"{kind}: {frames} frames; {frames / wall:.1f} frames/s with {args.workers} workers, "
            f"{frames / cpu:.1f} frames/s of one core's time (target {TARGET_FRAMES_PER_S:.0f} on 2 cores)"
        )
    store(args.out, "loader", {"frames_per_second_of_a_core": rates})


if __name__ == "__main__":
    main()
