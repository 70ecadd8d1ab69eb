"""Measures looks that stored exams lack, on all of their clips: classical two-view poses, masks without a network.

Run:     python benchmarks/exam_slow.py --rows FOLDER measure [NAME ...]
         python benchmarks/exam_slow.py --rows FOLDER store [NAME ...]
Note:    `measure` takes half an hour of one core; several may share a folder, each goes on where another stopped.
         `store` puts the rows into book/results/builtin and writes the cards; nothing else of an exam is measured anew.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from family_publish import store_exam, stored_changes

from page4d.evaluate.cards import update_card
from page4d.evaluate.exact_scores import score
from page4d.evaluate.exam import Exam, geometric_auc, marking_rows, truth_of
from page4d.evaluate.exam_results import averaged_again, parts, read_result, round_stored
from page4d.evaluate.yardsticks import MARKINGS, classical_pairs
from page4d.io.weight_files import BUILTIN_FOLDER
from page4d.model import PAGE4D
from page4d.schema import atomic_write
from page4d.version import provenance
from page4d.world import WORLD_VERSION, render_batch, split_config, split_seeds

RESULTS = Path("book/results/builtin")
NAMES = ("vggt-tiny", "page4d-tiny", "page4d-tiny-mask")
TWICE = {"classical": 1, "classical_twice": 2}
LATER = {
    "classical": "Classical two-view pose",
    "geometric": "Geometric mask",
    "marks": "Masks without a network",
}
PATCH = 8
CHUNK, BATCH = 64, 16


@dataclass(frozen=True)
class Look:
    """Some clips of a split, looked at by a yardstick or by the geometric mask of a network."""

    kind: str
    split: str
    start: int

    @property
    def file(self) -> str:
        """The name of its rows."""
        return f"{self.kind}-{self.split}-{self.start}.json"


def main() -> None:
    """Measure or store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("what", choices=("measure", "store"))
    parser.add_argument("names", nargs="*", default=list(NAMES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    args.rows.mkdir(parents=True, exist_ok=True)
    if args.what == "measure":
        for look in looks(args.names):
            measure(look, args.rows)
    else:
        for name in args.names:
            put_in(name, args.rows)


def looks(names: Sequence[str]) -> Iterator[Look]:
    """All that is to be measured for these networks."""
    exam = Exam()
    for kind in (*TWICE, *MARKINGS, *(f"geometric-{name}" for name in names)):
        for split in (exam.split, *exam.also):
            for start in range(0, exam.clips_of(split), CHUNK):
                yield Look(kind, split, start)


def measure(look: Look, folder: Path) -> None:
    """One chunk of rows into its file, if nobody has it or works on it."""
    done, busy = folder / look.file, folder / f"{look.file}.busy"
    if done.exists():
        return
    try:
        busy.touch(exist_ok=False)
    except FileExistsError:
        return
    began = time.process_time()
    rows = [row for start in range(look.start, look.start + CHUNK, BATCH) for row in rows_of(look, start)]
    found = {"rows": rows, "cpu_s": time.process_time() - began, "provenance": provenance()}
    with atomic_write(done, "w") as stream:
        json.dump(found, stream)
    busy.unlink()
    print(look.file, f"{found['cpu_s']:.0f} s", flush=True)


def rows_of(look: Look, start: int) -> list[dict[str, float]]:
    """Scores of the clips of one batch."""
    side = 112 * TWICE.get(look.kind, 1)
    config = split_config(look.split, frames=Exam().frames, height=side, width=side)
    batch = render_batch(split_seeds(look.split, BATCH, start), config)
    if look.kind in TWICE:
        return score(classical_pairs(batch.images, batch.K), truth_of(batch)).rows()
    if look.kind in MARKINGS:
        return marking_rows(MARKINGS[look.kind], batch, PATCH, WORLD_VERSION)
    model = PAGE4D.from_pretrained(look.kind.removeprefix("geometric-"))
    return [{"geometric_auc": geometric_auc(model, batch, number)} for number in range(BATCH)]


def put_in(name: str, folder: Path) -> None:
    """The rows of all clips into the stored exam of a network, its averages anew, and its card."""
    path = RESULTS / f"{name}.json"
    document = read_result(path)
    made: dict[str, Any] = {}
    for split, part in parts(document).items():
        for kind in TWICE:
            columns, made["classical"] = columns_of(kind, split, folder, part["n"])
            stored = part["yardsticks"][kind]
            stored["n"] = len(columns["direction"])
            stored["sequences"] = {score: columns[score] for score in stored["sequences"]}
        for kind in MARKINGS:
            columns, made["marks"] = columns_of(kind, split, folder, part["n"])
            part["yardsticks"][kind] = {"n": len(columns["mask_auc"]), "sequences": columns}
        columns, made["geometric"] = columns_of(f"geometric-{name}", split, folder, part["n"])
        found = columns["geometric_auc"]
        part["sequences"]["geometric_auc"] = found + [None] * (part["n"] - len(found))
    again = averaged_again(document)
    again["also"] = {split: averaged_again(part) for split, part in document["also"].items()}
    again["about"]["later"] = {LATER[kind]: where for kind, where in made.items()}
    again["last_doubling"] = stored_changes(name)
    store_exam(path, again)
    update_card(BUILTIN_FOLDER / f"{name}.md", again)
    print(name, flush=True)


def columns_of(kind: str, split: str, folder: Path, clips: int) -> tuple[dict[str, list[float | None]], dict[str, Any]]:
    """The scores of the first clips of a split, as far as they are measured, a list for each; where the last were."""
    files = [folder / Look(kind, split, start).file for start in range(0, clips, CHUNK)]
    files = list(itertools.takewhile(Path.exists, files))
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    rows = [row for part in found for row in part["rows"]]
    columns = {score: [round_stored(row[score]) for row in rows] for score in rows[0]}
    return columns, found[-1]["provenance"]


if __name__ == "__main__":
    main()
