"""How the small network's scores change with how much it sees: 2 to 32 frames, every, every second, every fourth.

    python benchmarks/density.py                  some ten minutes of one core; results go to benchmarks/results
    python benchmarks/density.py --out FILE.json --folder FOLDER
    python benchmarks/density.py --yardsticks     a minute: only the answers that need no network, into the stored table

It is `page4d evaluate density` on clips of the synthetic world at the network's own size, and its table is stored; the
picture that the command draws lies beside its other files. A clip has 63 frames, so that 32 frames of every second fit;
32 of every fourth, which do not, are left out.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from page4d.cli import main as page4d
from page4d.evaluate.density import study_at
from page4d.evaluate.density_settings import Density
from page4d.evaluate.harness import Study
from page4d.evaluate.opening import open_benchmark
from page4d.evaluate.yardstick_scores import depth_yardsticks
from page4d.schema import UserError
from page4d.version import provenance

RESULTS = Path(__file__).parent / "results" / "density.json"
WORLD = {"frames": 63, "height": 112, "width": 112}
SETTINGS = {"sequences": 8} | {f"world.{name}": value for name, value in WORLD.items()}
WORDS = ["benchmark=videodepth-synthetic", *(f"benchmark.settings.{name}={value}" for name, value in SETTINGS.items())]
COMMAND = ["evaluate", "density", *WORDS, "weights=tiny", "device=cpu"]


def add_yardsticks(rows: list[dict[str, Any]], folder: Path) -> None:
    """The AbsRel of answers that need no network, on the same frames, as columns under their titles."""
    stored = open_benchmark("videodepth-synthetic")
    settings = dict(stored.settings or {}) | {"sequences": SETTINGS["sequences"], "world": WORLD}
    study = Study(replace(stored, settings=settings), out=folder)
    lengths = {sequence.name: len(sequence.images) for sequence in study.sequences()}
    _, names = Density().of(lengths)
    for row in rows:
        for scores in depth_yardsticks(study_at(study, row["frames"], row["every"], names)):
            row[scores.origin["label"]] = scores.mean["abs_rel"]


def main() -> None:
    """Run the command, then store its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--folder", type=Path, default=Path("evaluation-density"))
    parser.add_argument("--yardsticks", action="store_true", help="only those, into the table that is there")
    args = parser.parse_args()
    document = json.loads(args.out.read_text("utf-8")) if args.yardsticks else measure(args.folder)
    add_yardsticks(document["rows"], args.folder)
    document["about"]["yardsticks"] = f"without a network, {provenance()['date']}"
    args.out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def measure(folder: Path) -> dict[str, Any]:
    """What the command finds."""
    if page4d([*COMMAND, f"out={folder}"]) != 0:
        raise UserError("the command failed for some sequences; see its last lines")
    (table,) = (folder / "tables").glob("density-*.csv")
    about = provenance() | {"command": " ".join(["page4d", *COMMAND])}
    return {"about": about, "rows": json.loads(pd.read_csv(table).to_json(orient="records"))}


if __name__ == "__main__":
    main()
