"""`page4d track`: points picked in one frame, followed through the clip, as picture, video and numbers."""

from __future__ import annotations

import argparse

from page4d.cli.frame_input import add_frame_arguments, frame_options
from page4d.cli.values import DEVICE_HELP, OUT_HELP, device, named_path, pixel, weights, whole
from page4d.counted import counted
from page4d.schema import UserError

MARKER = "tracks.csv"
MAX_GRID = 256  # 65,536 points; the network follows a few thousand in reasonable time

TRACK_WEIGHTS = (
    "weights with a track head: vggt (default), whose head was trained for rigid scenes; vggt-tracker, which its "
    "authors published for scenes that move; or a file"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page4d track`."""
    add = parser.add_argument
    add_frame_arguments(parser)
    add("--weights", type=weights, default="vggt", help=TRACK_WEIGHTS)
    add("--out", type=named_path, required=True, help=OUT_HELP)
    add("--overwrite", action="store_true", help="replace earlier tracks in --out")
    add("--points", nargs="+", type=pixel, metavar="X,Y", help="points in pixels of the original image")
    add("--grid", type=whole(1, MAX_GRID), metavar="N", help="an N x N grid of points instead")
    add("--frame", type=whole(0), default=0, help="frame in which the points are picked (default: %(default)s)")
    add("--device", type=device, default=None, help=DEVICE_HELP)


def run(args: argparse.Namespace) -> int:
    """Write tracks.csv, tracks.mp4 and one picture a frame; 0 when the folder stands."""
    import numpy as np
    from PIL import Image

    from page4d.cli.outfolder import check_out, whole_folder

    check_out(args.out, args.overwrite, MARKER)
    points = chosen_points(args.points, args.grid)
    # torch comes with them, so they wait until there is something to follow.
    from page4d.inference import resolve_device
    from page4d.io.frames import list_frames, load_frames
    from page4d.io.safe_names import safe_stems
    from page4d.io.video import write_video
    from page4d.model import PAGE4D
    from page4d.point_tracks import check_track_head, grid_points, track
    from page4d.viz.tracks import draw_tracks

    list_frames(args.inputs, frame_options(args))  # before weights are fetched
    device = resolve_device(args.device)
    model = PAGE4D.from_pretrained(args.weights, device=device)
    check_track_head(model)
    frames = load_frames(args.inputs, frame_options(args, model.config.img_size, model.config.patch_size))
    if not points:
        height, width = frames.original_hw[min(max(args.frame, 0), len(frames) - 1)]
        points = grid_points(int(height), int(width), args.grid)
    names = [f"{stem}.png" for stem in safe_stems(frames.names)]
    tracks = track(model, frames, points, frame=args.frame)
    pictures = (frames.images.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    drawn = draw_tracks(pictures, tracks.xy_in_input, tracks.visible)
    with whole_folder(args.out, args.overwrite, MARKER) as folder:
        tracks.write_csv(folder / MARKER)
        write_video(folder / "tracks.mp4", drawn, args.fps or 10.0)
        for name, picture in zip(names, drawn, strict=True):
            Image.fromarray(picture).save(folder / name)
    seen = float((tracks.visible >= 0.5).mean())
    followed, through = counted(len(points), "point"), counted(len(frames), "frame")
    print(
        f"{args.out}: {followed} in {through}, visible in {seen:.0%} of them; "
        "tracks.csv, tracks.mp4 and a picture of each frame"
    )
    return 0


def chosen_points(points: list[tuple[float, float]] | None, grid: int | None) -> list[tuple[float, float]]:
    """The picked points; empty if a grid was asked for.

    Raises:  UserError if neither or both are given.
    """
    if (points is None) == (grid is None):
        raise UserError("give either --points X,Y ... or --grid N")
    return points or []
