"""`page4d predict --window`: a film of any length, read, predicted and written window by window."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from page4d.cli.frame_input import frame_options
from page4d.cli.outfolder import LISTING, check_out, remove_listed, resolved, write_listing
from page4d.counted import counted
from page4d.stored import FILM_FILE, FILM_FOLDER

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from page4d.io.frame_stream import FrameStream
    from page4d.io.frames import Inputs
    from page4d.model import PAGE4D
    from page4d.result.cloud import Cloud
    from page4d.schema import Prediction
    from page4d.stored import StoredPart, StoredPrediction
    from page4d.windows import Windows

MARKER = f"{FILM_FOLDER}/{FILM_FILE}"


def check_film_out(out: Path, overwrite: bool) -> None:
    """Refuse a folder before the work starts; one with a film that is not finished is gone on with.

    Raises:  UserError as `check_out`.
    """
    if begun(out):
        return
    check_out(out, overwrite, MARKER)


def clear_finished(out: Path) -> None:
    """Remove the finished film that another takes the place of, and none of what a run that was cut off left."""
    whole = resolved(out)
    if not begun(whole):
        remove_listed(whole)


def begun(out: Path) -> bool:
    """Whether a folder holds a film whose run was cut off: the listing of its files is written last."""
    return (out / MARKER).is_file() and not (out / LISTING).is_file()


def run_film(args: argparse.Namespace, network: PAGE4D | None) -> int:
    """Predict a film and write what is made of it; 0 when all stands."""
    from page4d.cli.predict import load_network, windows_of

    check_film_out(args.out, args.overwrite)
    # torch comes with them, so they wait until there is something to predict.
    from page4d.io.frames import list_frames

    windows = windows_of(args)
    list_frames(args.inputs, frame_options(args))  # a typing mistake must not cost the download of weights
    film = _predict_windows(args, load_network(args) if network is None else network, windows)
    points = write_film_outputs(film, args)
    height, width = film[:1].size_hw
    frames, parts = counted(len(film), "frame"), counted(len(film.files), "part")
    print(f"{args.out}: {frames} of {height} x {width} px in {parts}, {points} points")
    if windows.loops:
        print(_loops_said(film))
    return 0


def _loops_said(film: StoredPrediction) -> str:
    """How many places were found again, and what came of it."""
    looked_at = film.about["loops"]
    closed = sum(loop["closed"] for loop in looked_at)
    if closed == 0:
        return f"no loop was closed, of {len(looked_at)} looked at; nothing is changed"
    return (
        f"{closed} loops were closed, of {len(looked_at)} looked at; all {len(film.files)} parts are corrected by them"
    )


def _predict_windows(args: argparse.Namespace, model: PAGE4D, windows: Windows) -> StoredPrediction:
    from tqdm import tqdm

    from page4d.films import predict_film
    from page4d.io.frame_stream import FrameStream
    from page4d.keyframes import Keyframes, only_keyframes

    config = model.config
    stream = FrameStream(args.inputs, frame_options(args, config.img_size, config.patch_size))
    _say_memory(args, model, stream, windows)
    clear_finished(args.out)
    settings = film_settings(args, stream.inputs)
    with tqdm(desc="frames", unit="") as bar:

        def show(done: int) -> None:
            bar.update(done - bar.n)

        folder, precision = args.out / FILM_FOLDER, args.precision
        frames = stream if args.keyframes is None else only_keyframes(stream, Keyframes(args.keyframes))
        return predict_film(model, frames, folder, windows, precision=precision, settings=settings, on_window=show)


def film_settings(args: argparse.Namespace, inputs: Inputs) -> dict[str, Any]:
    """Every option that decides what stands in a film's parts, and what its files are: a run goes on only with these.

    Note:    weights, precision and device are told by what predicts, in every part's own words.
    """
    from page4d.cli.predict import CHOICES, READING, asked
    from page4d.io.checksums import short_digest
    from page4d.io.pictures import Page

    said = {name: getattr(args, name) for name in ("compile", *CHOICES, *READING)}
    sources = [source.path if isinstance(source, Page) else Path(str(source)) for source in inputs.sources]
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in said.items()}
    masks = sorted(inputs.masks.values())
    contents = {"inputs_content": short_digest(sources), "mask_folder_content": short_digest(masks)}
    if args.times is not None:
        contents["times_content"] = short_digest([args.times])
    return asked(args) | plain | contents | {"inputs": [str(path) for path in args.inputs]}


def _say_memory(args: argparse.Namespace, model: PAGE4D, stream: FrameStream, windows: Windows) -> None:
    """What the largest window takes; of the film only the first frames are read for it."""
    from page4d.inference import device_for, products_dtype
    from page4d.model.memory import ForwardPass, memory_needed

    device, at_most = device_for(model, None), stream.at_most
    frames = windows.frames if at_most is None else min(windows.frames, at_most)
    size_hw = next(stream(0)).size_hw
    one = ForwardPass.of(model, frames, size_hw, products_dtype(model, device, args.precision))
    print(memory_needed(one, device), flush=True)


def write_film_outputs(film: StoredPrediction, args: argparse.Namespace) -> int:
    """Depth maps, moving masks and points.ply, in the memory of one window; returns the number of points."""
    from page4d.io.point_files import write_ply
    from page4d.io.safe_names import safe_stems
    from page4d.result.cloud import joined_clouds
    from page4d.result.exports.frames import write_depth_map, write_depth_notes, write_mask

    out: Path = args.out
    depth, masks = out / "depth", out / "masks"
    stems = safe_stems(film.frame_names)
    lines, clouds = [], []
    depth.mkdir(exist_ok=True)
    for part, frames, moving in _parts_with_moving(film, args):
        for i, stem in enumerate(stems[part.first : part.end]):
            lines.append(write_depth_map(depth / f"{stem}.png", frames.depth[i]))
            mask = masks / f"{stem}.png"
            if moving is not None:
                masks.mkdir(exist_ok=True)
                write_mask(mask, moving[i])
            else:
                mask.unlink(missing_ok=True)  # of a run that was cut off here and wanted masks
        clouds += _cloud(frames, args.max_points * len(frames) / len(film), args.drop)
    write_depth_notes(depth, lines, "scene units")
    cloud = joined_clouds(clouds)
    write_ply(out / "points.ply", cloud.xyz, cloud.rgb)
    write_listing(out)
    return len(cloud)


def _parts_with_moving(
    film: StoredPrediction, args: argparse.Namespace
) -> Iterator[tuple[StoredPart, Prediction, NDArray[np.bool_] | None]]:
    """Every part with its moving mask: that of the whole film, for a mask asks no frame farther away than are read."""
    from page4d.cli.prediction_input import moving_of
    from page4d.result.motion import MotionOptions

    reach = max(MotionOptions().offsets)
    for part in film.files:
        first = max(part.first - reach, 0)
        frames = film[first : part.end + reach]
        own = slice(part.first - first, part.end - first)
        moving = moving_of(frames, args.moving)
        yield part, frames[own], None if moving is None else moving[own]


def _cloud(frames: Prediction, points: float, drop: float) -> list[Cloud]:
    """The part's share of the points; none of a part in which nothing has a depth."""
    from page4d.result.cloud import CloudOptions, cloud_of

    if not (frames.depth > 0).any():
        return []
    return [cloud_of(frames, CloudOptions(drop=drop, max_points=max(round(points), 1)))]
