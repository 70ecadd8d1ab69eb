"""`page4d train experiment=... key=value ...`: train a network, or go on with a run that was broken off."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The overrides, and two looks at the configuration without training."""
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example experiment=smoke trainer.seed=1")
    parser.add_argument("--show", action="store_true", help="print the composed configuration and stop")
    parser.add_argument("--list", action="store_true", help="name the experiments and stop")


def run(args: argparse.Namespace) -> int:
    """Compose, train, and say where the weights are; 143 if SIGTERM ended the run."""
    from page4d.cli.hydra_config import choices, compose

    if args.list:
        print("\n".join(choices("experiment")))
        return 0
    config = compose(args.overrides)
    if args.show:
        import yaml

        print(yaml.safe_dump(config, sort_keys=False), end="")
        return 0
    from page4d.train.setup import trainer_from

    trainer = trainer_from(config)
    if trainer.accelerator.is_main_process:
        about = trainer.describe()
        print(f"{about['start']}\ntraining {about['trained_parameters']:,} of {about['parameters']:,} parameters")
    outcome = trainer.run()
    if trainer.accelerator.is_main_process:
        how = "stopped by SIGTERM, resume with the same command," if outcome.exit_code else "done"
        print(f"{how} at step {outcome.step}; {trainer.folder}")
    return outcome.exit_code
