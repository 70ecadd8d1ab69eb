"""How well windows of a long film are joined, apart from any network: exact geometry with planted errors.

    python benchmarks/joins.py                    the table and the walk; about three minutes on one core
    python benchmarks/joins.py --seeds 1          quicker
    python benchmarks/joins.py --out FILE.json    elsewhere than benchmarks/results/joins.json

A camera walks 1,000 frames through a scene of the synthetic world. Every window of 32 frames gets a scale of its own
(0.5 to 2), its own world, noise on depth and outliers five times too far; then windows are joined with 4 shared frames
each. A perfect join ends with the scale of its start (1) and the last camera where it was. "plain" is the
least-squares similarity between the points that two windows share, "robust" is what page4d does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from page4d.geometry import Similarity, fit_similarity, invert, pixel_grid, transform, unproject_pixels
from page4d.result.cloud import world_from_cam
from page4d.result.exact import prediction_from_clip
from page4d.result.placed import moved
from page4d.result.planted import PlantedErrors, plant_errors
from page4d.schema import Prediction
from page4d.version import code_revision
from page4d.windows import Windows, join_of
from page4d.world import split_clip

RESULTS = Path(__file__).parent / "results" / "joins.json"
HEIGHT, WIDTH = 48, 64
WINDOWS = Windows(32, 4)
LEVELS = ((0.0, 0.0), (0.02, 0.0), (0.02, 0.01), (0.1, 0.05))  # noise as share of depth, share of outliers
LENGTHS = (200, 1000)
END = 8  # frames over which a scale is read

Join = Callable[[Prediction, Prediction], Similarity]


def walk(frames: int) -> Prediction:
    """A walk through the synthetic world, exact."""
    exact = prediction_from_clip(split_clip("static-test", 0, frames=frames, height=HEIGHT, width=WIDTH))
    return replace(exact, points=None, points_conf=None)


def plain(before: Prediction, part: Prediction) -> Similarity:
    """The similarity of least squares between all points of the shared frames."""
    both = (before.depth > 0) & (part.depth > 0)
    return fit_similarity(_points(part)[both], _points(before)[both])


def _points(prediction: Prediction) -> torch.Tensor:
    depth, K, pose = (torch.from_numpy(a).double() for a in (prediction.depth, prediction.K, prediction.cam_from_world))
    s, height, width = depth.shape
    pixels = pixel_grid(height, width, like=depth).reshape(1, -1, 2).expand(s, -1, 2)
    local = unproject_pixels(pixels, depth.reshape(s, -1), K)
    return transform(invert(pose), local).reshape(s, height, width, 3)


def robust(before: Prediction, part: Prediction) -> Similarity:
    """What page4d does."""
    return join_of(before, part).similarity


def joined(exact: Prediction, errors: PlantedErrors, seed: int, join: Join) -> Iterator[tuple[int, Prediction]]:
    """First frame and joined form of every window, in order."""
    rng = np.random.default_rng(seed)
    done: Prediction | None = None
    end = 0
    for start in WINDOWS.starts(len(exact)):
        part = plant_errors(exact[start : start + WINDOWS.frames], errors, rng)
        shared = end - start
        if done is not None:
            part = moved(part, join(done[len(done) - shared :], part[:shared]))
        done, end = part, start + len(part)
        yield start, part


def scale_of(part: Prediction, exact: Prediction) -> float:
    """Length of a window's metre against the truth: the median over all pixels."""
    seen = exact.depth > 0
    return float(np.median(part.depth[seen] / exact.depth[seen]))


def drift(exact: Prediction, errors: PlantedErrors, seed: int, join: Join) -> dict[str, Any]:
    """Scale and place of every window's last frames against the start of the film.

    Note:    places are compared in the world of the first window, whose scale is divided out; nothing is fitted
             afterwards. A place's error is a share of the way walked in all.
    """
    truth = world_from_cam(exact)[:, :, 3]
    walked = float(np.linalg.norm(np.diff(truth, axis=0), axis=1).sum())
    frames, scales, places = [], [], []
    first = 1.0
    for start, part in joined(exact, errors, seed, join):
        end = start + len(part)
        if start == 0:
            first = scale_of(part[:END], exact[:END])
        frames.append(end)
        scales.append(scale_of(part[len(part) - END :], exact[end - END : end]) / first)
        centre = world_from_cam(part)[-1, :, 3] / first
        places.append(float(np.linalg.norm(centre - truth[end - 1])) / walked)
    return {"frames": frames, "scale": _rounded(scales), "place": _rounded(places)}


def _rounded(values: list[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def measure(seeds: int) -> list[dict[str, Any]]:
    """One row per length, error level, join and seed; the curves of the longest film's first seed stay whole."""
    rows = []
    exact = walk(max(LENGTHS))
    for length in LENGTHS:
        for noise, outliers in LEVELS:
            for name, join in (("plain", plain), ("robust", robust)):
                for seed in range(seeds):
                    found = drift(exact[:length], PlantedErrors(noise, outliers), seed, join)
                    row = {"frames": length, "depth_noise": noise, "outliers": outliers, "join": name, "seed": seed}
                    row |= {"end_scale": found["scale"][-1], "end_place": found["place"][-1]}
                    if length == max(LENGTHS) and seed == 0:
                        row["curve"] = found
                    rows.append(row)
                    print(json.dumps({key: value for key, value in row.items() if key != "curve"}), flush=True)
    return rows


def provenance() -> dict[str, Any]:
    """What the figures were made with."""
    return {
        "page4d": code_revision(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "window": [WINDOWS.frames, WINDOWS.overlap],
        "size_px": [WIDTH, HEIGHT],
    }


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    start = time.process_time()
    rows = measure(args.seeds)
    about = provenance() | {"cpu_seconds": round(time.process_time() - start, 1)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
