"""`page4d view`: a prediction as one interactive HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from page4d.cli.prediction_input import add_prediction_arguments
from page4d.cli.values import named_path, rate, whole
from page4d.counted import counted

MANY_POINTS = 20_000_000  # a page of 300 MB; no browser shows more


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page4d view`."""
    add_prediction_arguments(parser)
    add = parser.add_argument
    add(
        "--html", type=named_path, help="file to write (default: viewer.html in a folder, else the file's name + .html)"
    )
    add("--max-points", type=whole(1, MANY_POINTS), default=200_000, help="points of one frame (default: %(default)s)")
    add(
        "--background-points",
        type=whole(1, MANY_POINTS),
        default=200_000,
        help="points of the still part (default: %(default)s)",
    )
    add("--fps", type=rate, help="frames a second when playing (default: as recorded, else 10)")
    add("--mode", choices=("frame", "split", "all", "static"), default="", help="what is shown first")
    add("--title", default="", help="heading of the page (default: the prediction's name)")


def run(args: argparse.Namespace) -> int:
    """Write the page; 0 when it stands."""
    from page4d.cli.outfolder import check_page
    from page4d.cli.prediction_input import check_prediction, moving_of, read_prediction

    check_prediction(args)
    source: Path = args.prediction
    beside, name = (
        (source / "viewer.html", source.absolute().name)
        if source.is_dir()
        else (source.with_suffix(".html"), source.stem)
    )
    target = args.html or beside
    check_page(target)
    # torch comes with them, so they wait until there is something to show.
    from page4d.viz.viewer import write_viewer
    from page4d.viz.viewer_data import ViewerOptions, recorded_fps

    prediction = read_prediction(args)
    fps = recorded_fps(prediction) if args.fps is None else args.fps
    options = ViewerOptions(
        max_points=args.max_points,
        background_points=args.background_points,
        fps=fps,
        drop=args.drop,
        mode=args.mode,
        title=args.title or name,
    )
    moving = moving_of(prediction, args.moving)
    size = write_viewer(target, prediction, moving, options)
    share = "no moving mask" if moving is None else f"{moving.mean():.1%} of the pixels moving"
    frames = counted(len(prediction), "frame")
    print(f"{target}: {frames}, {share}, {size / 1e6:.1f} MB; open it in any browser, no internet needed")
    return 0
