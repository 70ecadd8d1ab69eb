"""Ships what `family.py` trained: weights, the log of every stage, an exam and a card for each network.

Run:     python benchmarks/family_publish.py --configs family.json --family FOLDER [--run match=RUNFOLDER] [name ...]
Note:    the exam runs here, on whatever machine this is; where the networks were trained stands in their cards.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from family import BEFORE, EXPERIMENTS, PUBLISHED, RECORDED_REUSE, by_the_clock, fitted
from family_files import curve

from page4d.evaluate.exam import Exam, examine
from page4d.evaluate.exam_results import AIMS, FORMAT
from page4d.io.weight_files import BUILTIN_FOLDER
from page4d.schema import atomic_write
from page4d.train.publish import card_text
from page4d.train.results import finished_run, last_doubling, pictures_seen

RESULTS = Path("book/results")
# Every clip for the slow looks too: half an hour of one core more than the exam takes by itself.
EXAM = Exam(classical=512, classical_twice=512, geometric=512, frame_clips=8)


def main() -> None:
    """Write everything of the networks that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", type=Path, required=True, help="what `family.py --compose` wrote")
    parser.add_argument("--family", type=Path, required=True, help="the --out folder of `family.py`")
    parser.add_argument("--run", action="append", default=[], metavar="STAGE=FOLDER", help="a stage trained elsewhere")
    parser.add_argument("names", nargs="*", default=list(PUBLISHED.values()))
    args = parser.parse_args()
    torch.set_num_threads(1)
    about = json.loads((args.family / "run.json").read_text())
    configs = json.loads(args.configs.read_text())
    elsewhere = {stage: Path(folder) for stage, folder in (given.split("=", 1) for given in args.run)}
    runs = {}
    for stage in EXPERIMENTS:
        if stage in elsewhere:
            runs[stage] = finished_run(elsewhere[stage])
        elif stage in about["stages"]:
            runs[stage] = run_of(stage, about, configs)
        else:  # trained before, and its log is in the book
            runs[stage] = stored_log(stage)["run"]
    curves = json.loads((args.family / "curves.json").read_text())
    store_logs(runs, curves | {stage: curve(folder) for stage, folder in elsewhere.items()})
    for stage, name in PUBLISHED.items():
        if name in args.names:
            publish(name, stage, runs, args.family)


def run_of(stage: str, about: Mapping[str, Any], configs: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json of a stage says, from what the driver told of it."""
    arguments = argparse.Namespace(**about["arguments"])
    told = about["stages"][stage]
    before = Path("runs") / BEFORE[stage] if stage in BEFORE else None
    config = fitted(configs["stages"][stage], arguments, Path("runs") / stage, before)
    config["data"]["batch_size"] = arguments.batch or config["data"]["batch_size"]
    config["trainer"]["reuse"] = RECORDED_REUSE if arguments.graphs else 1
    config["trainer"]["cuda_graphs"] = arguments.graphs
    started = f"It goes on from `{EXPERIMENTS[BEFORE[stage]]}`" if stage in BEFORE else "It begins at random"
    return {
        "provenance": about["provenance"],
        "start": started,
        "parameters": told["parameters"],
        "processes": 1,
        "resumed": [],
        "config": by_the_clock(config, told["seconds"]),
        "ended": {"step": told["steps"], "seconds": told["seconds"], "best_metric": None},
    }


def store_logs(runs: Mapping[str, Mapping[str, Any]], curves: Mapping[str, Any]) -> None:
    """The thinned log of every stage that was trained now, as the book reads it."""
    for stage in (stage for stage in EXPERIMENTS if stage in curves):
        records = sorted(curves[stage], key=lambda record: record["iteration"])
        document = {"format": FORMAT, "run": runs[stage], "records": records}
        with atomic_write(log_path(stage), "w") as stream:
            json.dump(document, stream, separators=(",", ":"))


def log_path(stage: str) -> Path:
    """Where the log of a stage is stored."""
    return RESULTS / "runs" / f"{EXPERIMENTS[stage]}.json"


def stored_log(stage: str) -> dict[str, Any]:
    """The stored log of a stage that was trained earlier."""
    log: dict[str, Any] = json.loads(log_path(stage).read_text())
    return log


def publish(name: str, stage: str, runs: Mapping[str, dict[str, Any]], family: Path) -> None:
    """Weights, exam and card of one network."""
    weights = BUILTIN_FOLDER / f"{name}.safetensors"
    with open(family / weights.name, "rb") as source, atomic_write(weights) as target:
        shutil.copyfileobj(source, target)
    path = RESULTS / "builtin" / f"{name}.json"
    result = examine(weights, EXAM, path, label=name) | {"last_doubling": stored_changes(name)}
    store_exam(path, result)
    with atomic_write(weights.with_suffix(".md"), "w") as stream:
        stream.write(card_text(name, history(stage, runs), result))
    print(f"{name}: {weights.with_suffix('.md')}", flush=True)


def store_exam(path: Path, document: Mapping[str, Any]) -> None:
    """Write an exam as the book reads it."""
    with atomic_write(path, "w") as stream:
        json.dump(document, stream, separators=(",", ":"))


def stored_changes(name: str) -> dict[str, float]:
    """How each aim's score changed over the last doubling of the pictures seen, by a network's stored logs."""
    (stage,) = (stage for stage, published in PUBLISHED.items() if published == name)
    stages = [stage]
    while stages[0] in BEFORE:
        stages.insert(0, BEFORE[stages[0]])
    records = pictures_seen([stored_log(before) for before in stages])
    found = {aim.score: last_doubling(records, f"dynamic-val/{aim.score}") for aim in AIMS}
    return {score: change for score, change in found.items() if change is not None}


def history(stage: str, runs: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that lead to a stage, first to last."""
    earlier = history(BEFORE[stage], runs) if stage in BEFORE else []
    return [*earlier, runs[stage]]


if __name__ == "__main__":
    main()
