"""`page4d train experiment=... key=value ...`: train a network, or go on with a run that was broken off."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from page4d.schema import UserError

if TYPE_CHECKING:
    from page4d.train.loop import Outcome
    from page4d.train.study import StudyConfig, Variant


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The overrides, two looks at the configuration without training, and the study."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example experiment=smoke trainer.seed=1")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--show", action="store_true", help="print the composed configuration and stop")
    modes.add_argument("--list", action="store_true", help="name the experiments and stop")
    modes.add_argument("--study", action="store_true", help="train and examine every arm of conf/study.yaml")
    modes.add_argument(
        "--publish", nargs=2, metavar=("RUN", "NAME"), help="ship a finished run as a built-in network, with its card"
    )
    modes.add_argument("--store", metavar="RUN", help="keep a finished run's log for the book, in book/results/runs")


def run(args: argparse.Namespace) -> int:
    """Compose, train, and say where the weights are; 143 if SIGTERM ended the run."""
    from page4d.config import check_words, choices, compose_settings

    if args.list:
        print("\n".join(choices("experiment")))
        return 0
    if args.store:
        from page4d.train.results import store_run

        store_run(args.store, Path("book/results/runs") / f"{Path(args.store).name}.json")
        return 0
    if args.publish:
        return _publish(*args.publish)
    if args.study:
        return _study(compose_settings(args.overrides, "study"))
    if not args.overrides and not args.show:
        near = ", ".join(choices("experiment"))
        raise UserError(f"name an experiment, as in `page4d train experiment=smoke`; there are {near}")
    check_words(args.overrides, "config")
    for word in args.overrides:
        if re.match(r"paths\.(root|run)=", word):
            _check_run_folder(word.partition("=")[2])
    from page4d.train.words import check_run_words

    check_run_words(args.overrides)
    # torch comes with it, so it waits until there is something to train.
    from page4d.train.setup import compose_run

    config = compose_run(args.overrides)
    if args.show:
        import yaml

        print(yaml.safe_dump(config, sort_keys=False), end="")
        return 0
    _check_run_folder(config["paths"]["run"])
    return _train(config, args.overrides).exit_code


def _check_run_folder(name: str) -> None:
    """Refuse a place that no run can be written into, before weights and data are looked at."""
    from page4d.cli.outfolder import check_place

    check_place(Path(name.strip("'\"")), "paths.root")


def _publish(run_folder: str, name: str) -> int:
    from page4d.evaluate.exam import Exam
    from page4d.train.publish import publish_run

    print(publish_run(run_folder, name, Path("book/results/builtin"), Exam()).read_text(encoding="utf-8"))
    return 0


def _train(config: dict[str, Any], words: Sequence[str]) -> Outcome:
    from page4d.config import experiments_named
    from page4d.train.setup import trainer_from

    with experiments_named(words):
        trainer = trainer_from(config)
    main = trainer.accelerator.is_main_process
    if main:
        about = trainer.describe()
        print(f"{about['start']}\ntraining {about['trained_parameters']:,} of {about['parameters']:,} parameters")
    outcome = trainer.run()
    if main:
        how = "stopped by SIGTERM, resume with the same command," if outcome.exit_code else "done"
        print(f"{how} at step {outcome.step}; {trainer.folder}")
    return outcome


def _study(values: dict[str, Any]) -> int:
    """Every arm, one after the other; what is there already is kept, so a study can be broken off and gone on with."""
    from page4d.evaluate.exam import examine
    from page4d.settings import build
    from page4d.train.study import StudyConfig

    study = build(StudyConfig, values, "study")
    for name, variant in study.variants.items():
        for seed in study.seeds if variant.experiment else (0,):
            result = Path(study.results) / f"{name}-seed{seed}.json"
            if result.is_file():
                continue
            weights = variant.weights
            if variant.experiment is not None:
                code, weights = _arm(study, name, variant, seed)
                if code:
                    return code
            assert weights is not None
            about = {"label": variant.label, "variant": name, "seed": seed}
            document = examine(weights, study.exam, result, variant.true_mask, **about)
            told = ("abs_rel", "relative_rotation_ratio", "direction")
            shown = {key: round(document["mean"][key], 4) for key in told}
            print(f"{result}: {shown}")
    return 0


def _arm(study: StudyConfig, name: str, variant: Variant, seed: int) -> tuple[int, str]:
    from page4d.train.setup import compose_run

    place = [f"paths.root={study.runs}", f"paths.name={name}-seed{seed}", f"trainer.seed={seed}"]
    # Another seed also sees other scenes.
    data = [f"data.first={seed * 10_000_000}"]
    words: Sequence[str] = (f"experiment={variant.experiment}", *variant.overrides, *study.train, *place, *data)
    config = compose_run(words)
    outcome = _train(config, words)
    return outcome.exit_code, str(config["paths"]["run"])
