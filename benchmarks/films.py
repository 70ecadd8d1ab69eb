"""Films of any length: peak memory and time per frame of 200, 1,000 and 5,000 frames with the built-in network.

    python benchmarks/films.py                      three films, each in a process of its own: eight minutes of one core
    python benchmarks/films.py --frames 50 100      other lengths
    python benchmarks/films.py --kill               beside it: a run killed in the middle ends with the same bits

Frames are drawn as they are asked for (noise that drifts), so that the film itself takes no memory. What is measured is
the peak of resident memory and the processor's time from the first window to the last; starting Python and loading
weights come before. A shared processor runs faster at one minute than at another, so after each window a fixed piece of
the same work is timed too, and the film's time is also told as a multiple of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from page4d import PAGE4D, predict
from page4d.films import predict_film
from page4d.io.images import LoadedImages
from page4d.version import provenance
from page4d.windows import Windows

RESULTS = Path(__file__).parent / "results" / "films.json"
SIZE = 56
ALONE = 8  # frames of the piece of work that is timed beside each window
TIMED = 1000  # frames at least: a short film is predicted several times
WINDOWS = Windows(32, 4)
BATCH = 8


def drawn(total: int, first: int) -> Iterator[LoadedImages]:
    """Frames `first` ... `total` of a film of drifting noise."""
    wide = torch.rand(3, SIZE, SIZE + 64, generator=torch.Generator().manual_seed(0))
    for begin in range(first, total, BATCH):
        numbers = range(begin, min(begin + BATCH, total))
        images = torch.stack([wide[:, :, n % 64 : n % 64 + SIZE] for n in numbers])
        count = len(numbers)
        yield LoadedImages(
            images=images,
            original_hw=np.full((count, 2), SIZE),
            box_in_original=np.tile([0.0, 0.0, SIZE, SIZE], (count, 1)),
            names=tuple(f"frame_{n:06d}" for n in numbers),
            timestamps_s=np.array(numbers) / 10.0,
        )


class Pace:
    """Processor time of a film's windows, and of a fixed piece of work done after each of them."""

    def __init__(self, model: PAGE4D) -> None:
        self.model = model
        self.piece = next(drawn(ALONE, 0))
        self.frames, self.film_s = 0, 0.0
        self.alone_s: list[float] = []
        self.done: int | None = None
        self.since = 0.0

    def window(self, done: int) -> None:
        """Count a window; the first one, in which memory pools fill, counts for memory only."""
        now = time.process_time()
        if self.done is not None:
            self.frames += done - self.done
            self.film_s += now - self.since
            predict(self.model, self.piece)
            self.alone_s.append(time.process_time() - now)
        self.done, self.since = done, time.process_time()

    def told(self) -> dict[str, float]:
        """Time of a frame: in the film, alone, and one over the other."""
        film = self.film_s / max(self.frames, 1)
        alone = sum(self.alone_s) / max(len(self.alone_s), 1) / ALONE
        times = {"cpu_ms_per_frame": round(1000 * film, 3), "alone_ms_per_frame": round(1000 * alone, 3)}
        return times | {"film_over_alone": round(film / alone, 4) if alone else 0.0}


def one_film(total: int, folder: Path) -> dict[str, float]:
    """Predict one film and say what it took."""
    model = PAGE4D.from_pretrained("tiny")
    pace = Pace(model)
    for number in range(max(1, TIMED // total)):
        pace.done = None
        predict_film(model, lambda first: drawn(total, first), folder / str(number), WINDOWS, on_window=pace.window)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    stored = sum(path.stat().st_size for path in (folder / "0").iterdir())
    sizes = {"peak_mb": round(peak / 1e6, 1), "stored_mb": round(stored / 1e6, 1)}
    return {"frames": total} | pace.told() | sizes


def in_a_process(*words: str, kill_after_parts: int | None = None) -> dict[str, Any]:
    """This script in a process of its own, killed once so many parts are stored."""
    folder = Path(words[-1])
    process = subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE, text=True)
    if kill_after_parts is None:
        out, _ = process.communicate()
        if process.returncode:
            raise SystemExit(process.returncode)
        return dict(json.loads(out.splitlines()[-1]))
    while process.poll() is None and len(list(folder.glob("0/frames_*.npz"))) < kill_after_parts:
        time.sleep(0.01)
    process.kill()
    process.wait()
    return {"parts_when_killed": len(list(folder.glob("0/frames_*.npz")))}


def digest(folder: Path) -> str:
    """A hash over all arrays of a film, part by part."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("0/frames_*.npz")):
        with np.load(path) as stored:
            for name in sorted(stored.files):
                found.update(name.encode() + stored[name].tobytes())
    return found.hexdigest()


def killed_and_whole(total: int) -> dict[str, Any]:
    """Whether a film that was killed and started again has the bits of one that was not."""
    with tempfile.TemporaryDirectory() as name:
        whole, broken = Path(name, "whole"), Path(name, "broken")
        in_a_process("--one", str(total), "--folder", str(whole))
        about = in_a_process("--one", str(total), "--folder", str(broken), kill_after_parts=3)
        in_a_process("--one", str(total), "--folder", str(broken))
        return about | {"frames": total, "same_bits": digest(whole) == digest(broken)}


def made_with() -> dict[str, Any]:
    """What the figures were made with."""
    window = {"window": [WINDOWS.frames, WINDOWS.overlap], "size_px": [SIZE, SIZE], "weights": "tiny"}
    return provenance() | {"threads": torch.get_num_threads()} | window


def main() -> None:
    """Measure every length in a process of its own, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[200, 1000, 5000])
    parser.add_argument("--kill", action="store_true", help="also kill a film of 300 frames and go on with it")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(one_film(args.one, args.folder)))
        return
    rows = []
    for total in args.frames:
        with tempfile.TemporaryDirectory() as name:
            rows.append(in_a_process("--one", str(total), "--folder", name))
        print(json.dumps(rows[-1]), flush=True)
    stored: dict[str, Any] = {"about": made_with(), "rows": rows}
    if args.kill:
        stored["killed"] = killed_and_whole(300)
        print(json.dumps(stored["killed"]))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
