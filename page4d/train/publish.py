"""From a finished run to a network that ships: weights, a card that says what they are, and their exam."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from page4d.evaluate.exam import Exam, examine
from page4d.io.weight_files import BUILTIN_FOLDER, best_of_run
from page4d.model.mask import mask_alpha
from page4d.schema import atomic_write
from page4d.train.results import finished_run
from page4d.version import short_revision

_QUIET = ("progress", "workers", "threads", "resume", "tensorboard", "log_every", "image_every", "save_every")
UNIMPORTANT = ("paths.", *(f"trainer.{key}" for key in _QUIET))
"""Settings that do not change what a run computes."""


def publish_run(run_folder: Path | str, name: str, results: Path, exam: Exam, folder: Path = BUILTIN_FOLDER) -> Path:
    """Copy a run's best weights to the built-in networks, examine them, and write their card; returns the card.

    Note:    it writes <folder>/<name>.safetensors and .md, <results>/<name>.json.
    Raises:  UserError if the run is not finished or was made by runs that are gone.
    """
    history = ancestry(Path(run_folder))
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"{name}.safetensors"
    with open(best_of_run(Path(run_folder)), "rb") as source, atomic_write(weights) as target:
        shutil.copyfileobj(source, target)
    result = examine(weights, exam, results / f"{name}.json", label=name, seed=history[-1]["config"]["trainer"]["seed"])
    card = weights.with_suffix(".md")
    with atomic_write(card, "w") as stream:
        stream.write(card_text(name, history, result))
    return card


def ancestry(run_folder: Path) -> list[dict[str, Any]]:
    """run.json of a run and of the runs that its weights come from, first to last.

    Raises:  UserError if one of them is missing or did not end.
    """
    run = finished_run(run_folder)
    start = run["config"]["start"]["weights"]
    before = ancestry(_beside(run_folder, start)) if start else []
    return [*before, run]


def _beside(run_folder: Path, start: str) -> Path:
    """The folder of an earlier run: as it was named, or beside this one if runs have moved since."""
    return Path(start) if Path(start).is_dir() else run_folder.parent / Path(start).name


def card_text(name: str, history: list[dict[str, Any]], result: Mapping[str, Any]) -> str:
    """The model card: what the network is, how it was made, and how good it is beside answers that need no network."""
    from page4d.evaluate.cards import exam_section

    minutes = sum(run["ended"]["seconds"] for run in history) / 60
    seen = sum(run["ended"]["step"] * clips_per_step(run) for run in history)
    lines = [
        f"# {name}",
        "",
        *_what_it_is(history[-1]),
        "",
        "## How it was made",
        "",
        "Only on this package's synthetic world, one stage after the other:",
        "",
        *(stage_text(run) for run in history),
        "",
        f"All stages together took {seen:,} looks at clips in {minutes:.0f} minutes.",
        "",
    ]
    return "\n".join(lines) + "\n" + exam_section(result)


def _what_it_is(run: Mapping[str, Any]) -> list[str]:
    model = run["config"]["model"]
    # As `snapshot.inference_config` has it at the end: a mask that is still fading is on.
    kept = mask_alpha(run["config"]["trainer"]["max_steps"], model["mask_hold_start"], model["mask_hold_end"]) > 0
    return [
        f"{run['parameters']:,} parameters, stored as float16. {model['img_size']} px, patch {model['patch_size']}, "
        f"width {model['embed_dim']}, {model['depth']} pairs; otherwise the architecture of the released network. "
        f"The mask is {'on' if kept else 'off'} when it is used.",
        "Made to run the book and the tests on any computer, not to reconstruct real scenes. Apache-2.0.",
    ]


def clips_per_step(run: Mapping[str, Any]) -> int:
    """How many clips one optimizer step saw, over all processes."""
    config = run["config"]
    clips = float(config["data"]["batch_size"])
    if config["data"].get("frames"):
        # Clips of every length are as likely, and each batch holds about as many pictures.
        shortest, longest = config["data"]["frames"]
        pictures = clips * config["data"]["world"]["frames"]
        lengths = range(shortest, longest + 1)
        clips = sum(pictures // length for length in lengths) / len(lengths)
    batches = int(run["processes"] * config["trainer"]["accumulate"])
    return round(clips * batches)


def stage_text(run: Mapping[str, Any]) -> str:
    """One stage of training as a line of the card."""
    config, made, ended = run["config"], run["provenance"], run["ended"]
    data, minutes = config["data"], ended["seconds"] / 60
    planned = f"{config['trainer']['max_steps']:,} planned steps"
    if config["trainer"].get("max_seconds"):
        planned = f"the steps that {config['trainer']['max_seconds']:.0f} seconds allowed"
    reuse = config["trainer"].get("reuse", 1)
    again = f", each used {reuse} times" if reuse > 1 else ""
    return (
        f"- `{config['paths']['name']}`: {ended['step']:,} of {planned} of "
        f"{clips_per_step(run)} clips of `{data['split']}`{again}, {minutes:.1f} minutes on {made['hardware']} "
        f"({made['date']}, code {short_revision(made['code_revision'])}). {run['start']}.{changes_text(run)}"
    )


def _told(value: object) -> str:
    """A setting as text; a whole number with its thousands apart, as the steps beside it."""
    return f"{value:,}" if type(value) is int else str(value)


def changes_text(run: Mapping[str, Any]) -> str:
    """The settings that changed while a run was under way; empty if it went through as it began."""
    told = [
        f" At step {entry['step']:,} {key} went from {_told(old)} to {_told(new)}."
        for entry in run.get("resumed", [])
        for key, (old, new) in entry["changed"].items()
        if not key.startswith(UNIMPORTANT)
    ]
    return "".join(told)
