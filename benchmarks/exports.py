"""CPU seconds and memory of export formats: COLMAP, GLB and PLY of 24 frames of 518 x 336.

    python benchmarks/exports.py                      three formats, in a process of its own each time: three minutes
    python benchmarks/exports.py --formats nerfstudio depth-png     other formats of `page4d export`

The clip is of the synthetic world with exact geometry, so that most points are seen from several frames: these
sightings are what a COLMAP model is made of. All formats in one process, as one command writes them, are a run too. Of
each run four things are told apart: importing torch and this package, reading the stored prediction, the first export,
with which the format's own libraries are imported, and a second one. Peaks are of resident memory, torch included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 518, 336
FORMATS = ("colmap", "glb", "ply")


def one_export(path: Path, names: list[str], out: Path) -> dict[str, float]:
    """Some formats in this process: CPU seconds of its steps, peak memory, and how much was written."""
    steps = {}
    clock = time.process_time()

    def took() -> float:
        nonlocal clock
        before, clock = clock, time.process_time()
        return clock - before

    from page4d.result.exports import export
    from page4d.schema import Prediction

    steps["import_cpu_s"] = took()
    prediction = Prediction.load(path)
    steps["read_cpu_s"] = took()
    before = _peak_mb()
    for step in ("first", "second"):
        (out / step).mkdir(parents=True)
        took()
        export(prediction, out / step, names)
        steps[f"{step}_cpu_s"] = took()
    written = sum(file.stat().st_size for file in (out / "first").rglob("*") if file.is_file())
    return steps | {"read_peak_mb": before, "peak_mb": _peak_mb(), "written_mb": written / 1e6}


def _peak_mb() -> float:
    # Of this program alone: getrusage begins with what the process had before it was this program.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


def in_a_process(path: Path, names: str, out: Path) -> dict[str, float]:
    """`one_export` in a process of its own."""
    words = [sys.executable, __file__, "--one", str(path), names, str(out)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(said.splitlines()[-1]))


def write_clip(path: Path, frames: int) -> None:
    """A clip with its exact geometry as a stored Prediction."""
    from page4d.result import prediction_from_clip
    from page4d.world import WorldConfig, render_clip

    prediction_from_clip(render_clip(0, WorldConfig(HEIGHT, WIDTH, frames))).save(path)


def main() -> None:
    """Export several times, print, store under `exports`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", nargs="+", default=FORMATS)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file in which the part `exports` is replaced")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(one_export(Path(args.one[0]), args.one[1].split(), Path(args.one[2]))))
        return
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "prediction.npz")
        write_clip(path, args.frames)
        for name in (*args.formats, " ".join(args.formats)):
            runs = [in_a_process(path, name, Path(folder, name, str(i))) for i in range(args.repeats)]
            rows[name] = {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]}
    from stored import store

    found: dict[str, Any] = {"frames": args.frames, "size_px": [WIDTH, HEIGHT], "repeats": args.repeats}
    found |= {"threads": os.environ.get("OMP_NUM_THREADS", "all"), "rows": rows}
    store(args.out, "exports", found)


if __name__ == "__main__":
    main()
