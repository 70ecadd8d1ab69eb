"""`page4d check-data experiment=... data=... key=value ...`: look at the data before training on them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from page4d.cli.values import named_path, whole

MARKER = "report.json"
EXIT_WRONG = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The overrides, how much to look at, and where to write."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="for example data=tum paths.tum=/data/tum, or experiment=paper",
    )
    parser.add_argument(
        "--out", type=named_path, default=Path("data_check"), help="folder to write (default: %(default)s)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier report in that folder")
    parser.add_argument("--clips", type=whole(1, 10_000), default=6, help="clips per dataset (default: %(default)s)")
    parser.add_argument("--frames", type=whole(2, 1000), default=8, help="frames per clip (default: %(default)s)")
    parser.add_argument("--width", type=whole(16, 4096), default=256, help="pixels across (default: %(default)s)")
    parser.add_argument("--show", type=whole(0, 10_000), default=2, help="clips that are drawn (default: %(default)s)")
    parser.add_argument("--seed", type=whole(0), default=0, help="which clips are taken (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Check every dataset of the configuration; 1 if one of them is wrong."""
    from page4d.cli.outfolder import check_out, whole_folder
    from page4d.config import check_words, experiments_named
    from page4d.train.words import check_run_words

    # What costs nothing is told before torch is imported.
    check_words(args.overrides)
    check_run_words(args.overrides)
    from page4d.train.setup import compose_run

    data = compose_run(args.overrides)["data"]  # a wrong word is told before a folder in the way
    check_out(args.out, args.overwrite, MARKER)
    from tqdm import tqdm

    from page4d.check import CheckSettings, inspect, write_report
    from page4d.check.entries import ingredients_from

    settings = CheckSettings(args.clips, args.frames, args.width, args.show, seed=args.seed)
    with experiments_named(args.overrides):
        ingredients = ingredients_from(data)
    with whole_folder(args.out, args.overwrite, MARKER) as folder:
        bar = tqdm(ingredients.items(), desc="checking", unit="dataset", disable=None, file=sys.stderr, leave=False)
        reports = [inspect(name, one, folder, settings) for name, one in bar]
        write_report(reports, folder)
    for report in reports:
        print(f"{report.name}: {report.verdict} ({report.about})")
        for finding in report.findings:
            print(f"  {finding.level}: {finding.text}")
    print(f"{args.out / 'index.html'}")
    return EXIT_WRONG if any(report.verdict == "fail" for report in reports) else 0
