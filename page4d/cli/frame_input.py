"""What `predict`, `track` and others share: which pictures or film are read, which frames of them, and how."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from page4d.cli.values import named_path, rate, seconds, whole
from page4d.schema import UserError

if TYPE_CHECKING:
    from page4d.io.frames import FrameOptions

INPUTS = "FILE|FOLDER|VIDEO"
MAX_INPUT_PX = 16_384  # as in training; one frame of it is a million patches
INPUTS_HELP = "images, a pattern of names, one video, or folders of images (several: the cameras of one scene)"


def add_frame_arguments(parser: argparse.ArgumentParser) -> None:
    """The inputs, and the options that say which frames are taken and how they are read."""
    add = parser.add_argument
    add("inputs", nargs="+", type=named_path, metavar=INPUTS, help=INPUTS_HELP)
    add_reading_arguments(parser)
    add("--input-size", type=whole(1, MAX_INPUT_PX), metavar="PX",
        help="width (crop) or longer side of the pictures that the network sees, a multiple of its patch (default: "
        "that of its training, 518 for the released networks, 112 for the built-in ones)")  # fmt: skip
    add("--fps", type=rate, help="of a video, keep at most so many frames a second")
    add("--every", type=whole(), default=1, metavar="N", help="keep every N-th frame")
    counts = parser.add_mutually_exclusive_group()
    counts.add_argument("--max-frames", type=whole(), metavar="N", help="keep the first N frames")
    counts.add_argument("--spread", type=whole(), metavar="N", help="keep N frames, evenly from the first to the last")
    add("--start", type=seconds, metavar="TIME", help="leave out what is before, in seconds or H:M:S of the video")
    add("--end", type=seconds, metavar="TIME", help="leave out what is after")
    add("--times-from", choices=("names", "none"), default="names",
        help="pictures named by time stamps have these times, or none (default: names)")  # fmt: skip
    add(
        "--times",
        type=named_path,
        metavar="FILE",
        help="times of the frames: one in seconds a line, or a time and a name",
    )
    add("--alpha", action=argparse.BooleanOptionalAction, default=True,
        help="leave transparent pixels out of points and scale (default: yes)")  # fmt: skip
    add("--mask-folder", type=named_path, metavar="FOLDER",
        help="a picture for each frame, named as the frame is; black is left out of points and scale")  # fmt: skip


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say how a picture becomes a frame, which notices about pictures name."""
    add = parser.add_argument
    add("--mode", choices=("crop", "pad", "square"), default="crop", help="how images are fitted (default: crop)")
    add("--pages", choices=("first", "all"), default="first",
        help="of files with several pages or frames (TIFF, GIF) take one or all (default: first)")  # fmt: skip
    add("--bits", type=whole(8, 16), metavar="N", help="range of 16-bit pixels (default: 12 if they are that dark)")


def frame_options(args: argparse.Namespace, size: int | None = None, patch: int | None = None) -> FrameOptions:
    """The options as they were given, for a network of that size and patch; without them, to be looked through only.

    Raises:  UserError for an --input-size that is not a multiple of the patch.
    """
    from dataclasses import replace

    from page4d.io.frames import FrameOptions

    same = (
        "mode",
        "fps",
        "max_frames",
        "every",
        "spread",
        "pages",
        "bits",
        "alpha",
        "times_from",
        "times",
        "mask_folder",
    )
    options = FrameOptions(start_s=args.start, end_s=args.end, **{name: getattr(args, name) for name in same})
    if size is None or patch is None:
        return options
    asked = args.input_size or size
    if asked % patch:
        near = max(round(asked / patch), 1) * patch
        raise UserError(f"--input-size {asked} is not a multiple of the network's patch of {patch} px; try {near}")
    return replace(options, size=asked, patch=patch)
