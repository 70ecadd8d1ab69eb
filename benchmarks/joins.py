"""How well windows of a long film are joined, apart from any network: exact geometry with planted errors.

    python benchmarks/joins.py                    the table and the walks; about ten minutes on one core
    python benchmarks/joins.py --seeds 1          quicker
    python benchmarks/joins.py --network          beside it: the small network on 64 and 200 frames of such a walk
    python benchmarks/joins.py --out FILE.json    elsewhere than benchmarks/results/joins.json

A camera walks 1,000 frames in rounds through the four rooms of a house of the synthetic world, another house for every
seed. Every window of 32 frames gets a scale of its own (0.5 to 2), its own world, noise on depth and outliers five
times too far; then windows are joined with 4 shared frames each. A perfect join ends with the scale of its start (1)
and the last camera where it was. "plain" is the least-squares similarity between the points that two windows share,
"robust" is what page4d does, "robust with loops" what it does with `--loops`: mixed windows of two visits have errors
of the same size.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from page4d import PAGE4D
from page4d.geometry import fit_similarity, invert, pixel_grid, transform, unproject_pixels
from page4d.inference import predict
from page4d.loops import with_loops_closed
from page4d.result.cloud import world_from_cam
from page4d.result.exact import prediction_from_clip
from page4d.result.placed import moved
from page4d.result.planted_errors import PlantedErrors, plant_errors
from page4d.schema import Prediction, concatenated
from page4d.version import provenance
from page4d.windows import Join, Windows, join_of
from page4d.world import render_clip
from page4d.world.walks import walk_through_rooms

RESULTS = Path(__file__).parent / "results" / "joins.json"
HEIGHT, WIDTH = 48, 64
WINDOWS = Windows(32, 4)
LEVELS = ((0.0, 0.0), (0.02, 0.0), (0.02, 0.01), (0.1, 0.05))  # noise as share of depth, share of outliers
LENGTHS = (200, 1000)
END = 8  # frames over which a scale is read

ROUND = 200  # frames of one round
NETWORK_LENGTHS = (64, 200)

JoinOf = Callable[[Prediction, Prediction, int], Join]


def walk(frames: int, house: int) -> Prediction:
    """A walk through the rooms of a house of the synthetic world, exact."""
    scene = walk_through_rooms(house, frames, frames / ROUND, HEIGHT, WIDTH)
    exact = prediction_from_clip(render_clip(scene))
    return replace(exact, points=None, points_conf=None)


def plain(before: Prediction, part: Prediction, start: int) -> Join:
    """The similarity of least squares between all points of the shared frames."""
    both = (before.depth > 0) & (part.depth > 0)
    return Join(start, fit_similarity(_points(part)[both], _points(before)[both]), 0.0, 1.0, "points")


def _points(prediction: Prediction) -> torch.Tensor:
    depth, K, pose = (torch.from_numpy(a).double() for a in (prediction.depth, prediction.K, prediction.cam_from_world))
    s, height, width = depth.shape
    pixels = pixel_grid(height, width, like=depth).reshape(1, -1, 2).expand(s, -1, 2)
    local = unproject_pixels(pixels, depth.reshape(s, -1), K)
    return transform(invert(pose), local).reshape(s, height, width, 3)


def joined(exact: Prediction, errors: PlantedErrors, seed: int, join: JoinOf) -> tuple[Prediction, list[Join]]:
    """The film and how its windows were joined."""
    rng = np.random.default_rng(seed)
    done: Prediction | None = None
    new, joins, end = [], [], 0
    for start in WINDOWS.starts(len(exact)):
        part = plant_errors(exact[start : start + WINDOWS.frames], errors, rng)
        shared = end - start
        if done is not None:
            joins.append(join(done[len(done) - shared :], part[:shared], start))
            part = moved(part, joins[-1].similarity)
        new.append(part[shared:])
        done, end = part, start + len(part)
    return concatenated(new), joins


def closed(
    film: Prediction, joins: list[Join], exact: Prediction, errors: PlantedErrors, seed: int
) -> tuple[Prediction, int]:
    """The film with its loops closed, and how many; a mixed window errs as all others do."""
    rng = np.random.default_rng(1000 + seed)
    numbers = {name: number for number, name in enumerate(exact.frame_names)}

    def mixed(earlier: Prediction, later: Prediction) -> Prediction:
        first = [numbers[visit.frame_names[0]] for visit in (earlier, later)]
        spans = [exact[at : at + len(visit)] for at, visit in zip(first, (earlier, later), strict=True)]
        return plant_errors(concatenated(spans), errors, rng)

    corrected, loops = with_loops_closed(film, WINDOWS, [join.record() for join in joins], mixed)
    return corrected, sum(loop.earlier_from_later is not None for loop in loops)


def scale_of(part: Prediction, exact: Prediction) -> float:
    """Length of a window's metre against the truth: the median over all pixels."""
    seen = exact.depth > 0
    return float(np.median(part.depth[seen] / exact.depth[seen]))


def drift(film: Prediction, exact: Prediction) -> dict[str, Any]:
    """Scale and place of every window's last frames against the start of the film.

    Note:    places are compared in the world of the first window, whose scale is divided out; nothing is fitted
             afterwards. A place's error is a share of the way walked in all.
    """
    truth, found = world_from_cam(exact)[:, :, 3], world_from_cam(film)[:, :, 3]
    walked = float(np.linalg.norm(np.diff(truth, axis=0), axis=1).sum())
    first = scale_of(film[:END], exact[:END])
    ends = [part.stop for part in WINDOWS.new_frames(len(exact))]
    scales = [scale_of(film[end - END : end], exact[end - END : end]) / first for end in ends]
    places = [float(np.linalg.norm(found[end - 1] / first - truth[end - 1])) / walked for end in ends]
    return {"frames": ends, "scale": _rounded(scales), "place": _rounded(places)}


def _rounded(values: list[float]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def measure(seeds: int) -> list[dict[str, Any]]:
    """One row per length, error level, join and seed; the curves of the longest film's first seed stay whole."""
    rows = []
    for seed in range(seeds):
        exact = walk(max(LENGTHS), seed)
        for length, (noise, outliers) in itertools.product(LENGTHS, LEVELS):
            for name, film, loops in films(exact[:length], PlantedErrors(noise, outliers), seed):
                found = drift(film, exact[:length])
                row = {"frames": length, "depth_noise": noise, "outliers": outliers, "join": name, "seed": seed}
                row |= {"end_scale": found["scale"][-1], "end_place": found["place"][-1], "loops": loops}
                row["worst_place"] = max(found["place"])
                if length == max(LENGTHS) and seed == 0:
                    row["curve"] = found
                rows.append(row)
                print(json.dumps({key: value for key, value in row.items() if key != "curve"}), flush=True)
    return rows


def films(exact: Prediction, errors: PlantedErrors, seed: int) -> Iterator[tuple[str, Prediction, int]]:
    """Name, film and number of loops of each way to join the same windows."""
    yield "plain", joined(exact, errors, seed, plain)[0], 0
    film, joins = joined(exact, errors, seed, join_of)
    yield "robust", film, 0
    yield "robust with loops", *closed(film, joins, exact, errors, seed)


def measure_network() -> list[dict[str, Any]]:
    """The small network on the walk, in one pass and in windows: here its own errors decide, not the joins."""
    model = PAGE4D.from_pretrained("tiny")
    rows = []
    for frames in NETWORK_LENGTHS:
        scene = walk_through_rooms(0, frames, 1.25, model.config.img_size, model.config.img_size)
        clip = render_clip(scene)
        exact = prediction_from_clip(clip)
        ways = {"one pass": None, "robust": WINDOWS, "robust with loops": replace(WINDOWS, loops=True)}
        for name, windows in ways.items():
            start = time.process_time()
            film = predict(model, clip.images, windows=windows)
            row = {"frames": frames, "way": name, "cpu_s": round(time.process_time() - start, 1)}
            row |= {"place": _place_error(film, exact), "scale_spread": _scale_spread(film, exact)}
            row["loops"] = sum(loop["closed"] for loop in film.meta.get("loops", []))
            row["looked_at"] = len(film.meta.get("loops", []))
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def _place_error(film: Prediction, exact: Prediction) -> float:
    """Root mean square error of the cameras' places after the best similarity, as share of the way."""
    found, truth = (torch.from_numpy(world_from_cam(p)[:, :, 3]).double() for p in (film, exact))
    walked = (truth[1:] - truth[:-1]).norm(dim=1).sum()
    off = fit_similarity(found, truth).apply(found) - truth
    return float(f"{float(off.square().sum(1).mean().sqrt() / walked):.4g}")


def _scale_spread(film: Prediction, exact: Prediction) -> float:
    """Largest over smallest metre of the film's eighths."""
    eighth = len(exact) // 8
    scales = [scale_of(film[i : i + eighth], exact[i : i + eighth]) for i in range(0, 8 * eighth, eighth)]
    return float(f"{max(scales) / min(scales):.4g}")


def made_with() -> dict[str, Any]:
    """What the figures were made with."""
    window = {"window": [WINDOWS.frames, WINDOWS.overlap], "size_px": [WIDTH, HEIGHT], "frames_a_round": ROUND}
    return provenance() | {"numpy": np.__version__} | window


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--network", action="store_true", help="the small network on the walk, too")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    start = time.process_time()
    stored: dict[str, Any] = {"rows": measure(args.seeds)}
    if args.network:
        stored["network"] = measure_network()
    about = made_with() | {"cpu_seconds": round(time.process_time() - start, 1)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"about": about} | stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
