"""Stores what `family.py` found out about the arms of the study as the book reads it.

Run:     python benchmarks/family_study.py --family FOLDER --study FOLDER
         python benchmarks/family_study.py --family FOLDER --study FOLDER --precision no --ended-by "its steps"
Note:    FAMILY is the --out folder of the run that trained the network every arm starts from, STUDY that of the run
         with the stages arms and exam. The scores were taken there; only their averages and intervals are made here.
"""

from __future__ import annotations

import argparse
import json
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from page4d.config import compose_settings
from page4d.evaluate.exam_results import NETWORK, write_result
from page4d.model import PAGE4D
from page4d.schema import atomic_write
from page4d.world import WORLD_VERSION

RESULTS = Path("book/results/study")
SPLITS = ("dynamic-test", "dynamic-hard")
FRAMES = 4


def main() -> None:
    """Write one result for the start and for every seed of every arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", type=Path, required=True)
    parser.add_argument("--study", type=Path, required=True)
    parser.add_argument("--precision", default="bf16", choices=["no", "bf16"])
    parser.add_argument("--clips-per-step", type=int, default=16)
    parser.add_argument("--steps-on-a-batch", type=int, default=2)
    parser.add_argument("--ended-by", default="the clock", help="what ended an arm's training, in words")
    args = parser.parse_args()
    told = json.loads((args.study / "run.json").read_text())
    scores = json.loads((args.study / "scores.json").read_text())
    variants = compose_settings(config_name="study")["variants"]
    trained = {(run["arm"], run["seed"]): run for run in told["stages"]["arms"]["runs"]}
    how = {name: getattr(args, name) for name in ("precision", "clips_per_step", "steps_on_a_batch", "ended_by")}
    how = {"hardware": told["provenance"]["hardware"]} | how
    start = args.family / "vggt-tiny.safetensors"
    about = {"variant": "pretrained", "seed": 0, "label": variants["pretrained"]["label"]}
    store(PAGE4D.from_pretrained(start), scores["vggt-tiny"], about, told["provenance"])
    with tempfile.TemporaryDirectory() as folder:
        for name, path in whole_weights(args.study, start, Path(folder)):
            arm, seed = name.rsplit("-seed", 1)
            run = trained[arm, int(seed)]
            about = {"variant": arm, "seed": int(seed), "label": variants[arm]["label"], "steps": run["steps"]}
            about["trained"] = how
            store(PAGE4D.from_pretrained(path), scores[name], about, told["provenance"])


def whole_weights(study: Path, start: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Every arm's weights, put together from what it changed and what it began with."""
    for archive in sorted(study.glob("arms-*.tar")):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    base = load_file(start)
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        save_file(base | load_file(path), path, metadata)
        yield path.stem, path


def store(model: PAGE4D, scores: Mapping[str, Any], about: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """The result of one network, with the provenance of the machine that took the scores."""
    path = RESULTS / f"{about['variant']}-seed{about['seed']}.json"
    splits = {split: {NETWORK: scores[split]["rows"]} for split in SPLITS}
    side = model.config.img_size
    said = {"world": WORLD_VERSION, "split": SPLITS[0], "frames": FRAMES, "height": side, "width": side}
    document = write_result(path, model, splits, **about, **said) | {"provenance": dict(made)}
    with atomic_write(path, "w") as stream:
        json.dump(document, stream, separators=(",", ":"))
    print(path, flush=True)


if __name__ == "__main__":
    main()
