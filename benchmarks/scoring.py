"""Time and peak memory of scoring one 110-frame sequence of 640 x 480 with scale and shift, standard protocol.

    python benchmarks/scoring.py [--frames 110] [--align "scale&shift"] [--protocol standard]

The target is under 10 s on 2 cores for everything between the Prediction file and the Scores: reading both, placing,
fitting, measuring. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from stored import store

from page4d.evaluate.harness import Study
from page4d.evaluate.opening import open_benchmark
from page4d.evaluate.predictions import Origin
from page4d.evaluate.protocol import protocol_of
from page4d.io.depth_formats import BONN_UNITS_PER_M
from page4d.io.depth_png import write_depth_png
from page4d.schema import Prediction

NAME = "videodepth-bonn"
HEIGHT, WIDTH = 480, 640
NET_HEIGHT, NET_WIDTH = 392, 518


def write_sequence(root: Path, frames: int) -> None:
    """A Bonn folder of smooth random depth with holes; the images are empty files, scoring does not open them."""
    rng = np.random.default_rng(0)
    folder = root / "rgbd_bonn_balloon2"
    for kind in ("rgb_110", "depth_110"):
        (folder / kind).mkdir(parents=True)
    for i in range(frames):
        stamp = f"{1548266530 + i / 30:.5f}"
        (folder / "rgb_110" / f"{stamp}.png").touch()
        depth = 1 + 5 * cv2.resize(rng.random((12, 16)), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        depth[rng.random(depth.shape) < 0.1] = 0
        write_depth_png(folder / "depth_110" / f"{stamp}.png", depth.astype(np.float32), BONN_UNITS_PER_M)


def write_prediction(study: Study) -> None:
    """A noisy, scaled and shifted version of the truth at the network's size."""
    rng = np.random.default_rng(1)
    (sequence,) = study.sequences()
    folder = study.predictions("x")
    inputs = study.protocol.input_key("videodepth")
    Origin(study.benchmark.name, study.benchmark.version, "x", "page4d", "c", "w", inputs).save(folder)
    truth = [sequence.read_depth(path) for path in sequence.depths]
    depth = np.stack([cv2.resize(t, (NET_WIDTH, NET_HEIGHT), interpolation=cv2.INTER_AREA) for t in truth])
    depth = ((depth - 0.7) / 2.3 * np.exp(rng.normal(0, 0.1, depth.shape))).astype(np.float32)
    s = len(depth)
    K = np.array([[500, 0, NET_WIDTH / 2], [0, 500, NET_HEIGHT / 2], [0, 0, 1]], np.float32)
    Prediction(
        cam_from_world=np.tile(np.eye(4, dtype=np.float32)[:3], (s, 1, 1)),
        K=np.tile(K, (s, 1, 1)),
        depth=depth,
        depth_conf=np.ones_like(depth),
        points=None,
        points_conf=None,
        mask=None,
        images=np.zeros((*depth.shape, 3), np.uint8),
        frame_names=tuple(p.name for p in sequence.images),
        timestamps_s=np.full(s, np.nan),
        original_hw=np.tile(np.array([[HEIGHT, WIDTH]]), (s, 1)),
        box_in_original=np.tile(np.array([[0.0, 0.0, WIDTH, HEIGHT]]), (s, 1)),
        meta={"config_sha256": "c", "weights_sha256": "w"},
    ).save(folder / f"{sequence.name}.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=110)
    parser.add_argument("--align", default="scale&shift")
    parser.add_argument("--protocol", default="standard")
    parser.add_argument("--out", type=Path, help="JSON file in which the part `scoring` is replaced")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_sequence(root / "data", args.frames)
        benchmark = replace(open_benchmark(NAME), sequences=("balloon2",))
        study = Study(benchmark, protocol_of(args.protocol), args.align, root / "out", root / "data")
        write_prediction(study)
        wall, cpu = time.perf_counter(), time.process_time()
        scores = study.score("x")
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = {"frames": args.frames, "align": args.align, "protocol": args.protocol, "wall_s": round(wall, 2)}
    row |= {"cpu_s": round(cpu, 2), "peak_mb": round(peak_mb), "abs_rel": round(scores.mean["abs_rel"], 5)}
    store(args.out, "scoring", row)


if __name__ == "__main__":
    main()
