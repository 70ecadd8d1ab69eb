"""What bundle adjustment mends: cameras of the synthetic world with planted errors, and those of the small network.

    python benchmarks/refine.py                   about a minute on one core
    python benchmarks/refine.py --out FILE.json   elsewhere than benchmarks/results/refine.json

Clips of 12 frames of 256 x 192 px (of 112 x 112 px for the network). Exact cameras get errors of rotation and position,
and depth gets noise; then `page4d.result.refined` is asked, which sees only the pictures and these wrong cameras, with
the true moving mask. Rotation error is the mean angle to the true rotation relative to the first camera, position error
the root mean square distance after the best similarity, as share of the path. A clip whose frames share too few points
is refused, and counted so; exact cameras are there to see that they stay.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from page4d import PAGE4D, Prediction, UserError, predict
from page4d.geometry import camera_centres, fit_similarity, relative_to_first, rotation_angle_deg
from page4d.result import prediction_from_clip, refined
from page4d.result.planted_errors import with_wrong_cameras
from page4d.schema import Clip
from page4d.version import provenance
from page4d.world import split_clip

RESULTS = Path(__file__).parent / "results" / "refine.json"
FRAMES, HEIGHT, WIDTH, SIZE = 12, 192, 256, 112
LEVELS = ((0.0, 0.0, 0.0), (1.0, 0.05, 0.02), (3.0, 0.2, 0.1))  # degrees, share of the path, share of depth
CLIPS = (("static-test", range(4)), ("dynamic-test", range(4)))


def errors(found: Prediction, exact: Prediction) -> tuple[float, float]:
    """Rotation in degrees and position as share of the path."""
    ours, true = (relative_to_first(torch.from_numpy(p.cam_from_world).double()) for p in (found, exact))
    turned = rotation_angle_deg(ours[1:, :, :3] @ true[1:, :, :3].mT)
    a, b = camera_centres(ours), camera_centres(true)
    away = (fit_similarity(a, b).apply(a) - b).norm(dim=-1).square().mean().sqrt()
    path = (b.amax(0) - b.amin(0)).norm()
    return float(turned.mean()), float(away / path)


def row(name: str, level: Any, wrong: Prediction, exact: Prediction, clip: Clip) -> dict[str, Any]:
    """One clip before and after."""
    moving = None if clip.moving is None else clip.moving.numpy().astype(bool)
    about: dict[str, Any] = {"clip": name, "planted": level, "before": errors(wrong, exact)}
    began = time.process_time()
    try:
        found, said = refined(wrong, moving=moving)
    except UserError as error:
        return about | {"refused": str(error)}
    seconds = round(time.process_time() - began, 2)
    return about | {"after": errors(found, exact), "cpu_s": seconds} | said.record()


def rows() -> list[dict[str, Any]]:
    """All clips at all levels, then the network's own predictions."""
    found = []
    for split, numbers in CLIPS:
        for number in numbers:
            clip = split_clip(split, number, frames=FRAMES, height=HEIGHT, width=WIDTH)
            exact = prediction_from_clip(clip)
            rng = np.random.default_rng(number)
            for degrees, step, noise in LEVELS:
                wrong = with_wrong_cameras(exact, degrees, step, rng)
                factor = 1 + noise * rng.standard_normal(exact.depth.shape)
                wrong = replace(wrong, depth=(exact.depth * factor).astype(np.float32))
                found.append(row(f"{split}/{number}", [degrees, step, noise], wrong, exact, clip))
                print(json.dumps(found[-1]), flush=True)
    return found + of_the_network()


def of_the_network() -> list[dict[str, Any]]:
    """What the small network says of clips in its own size."""
    model, found = PAGE4D.from_pretrained("tiny"), []
    for split, numbers in CLIPS:
        for number in numbers:
            clip = split_clip(split, number, frames=FRAMES, height=SIZE, width=SIZE)
            said = predict(model, clip.images)
            found.append(row(f"{split}/{number}", "tiny", said, prediction_from_clip(clip), clip))
            print(json.dumps(found[-1]), flush=True)
    return found


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    measured = rows()
    args.out.write_text(json.dumps({"about": provenance(), "rows": measured}, indent=1) + "\n")


if __name__ == "__main__":
    main()
