"""`page4d predict`: images, a folder or a video to prediction.npz, points.ply, depth and moving-mask PNGs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from page4d.cli.frame_input import add_frame_arguments, frame_options
from page4d.cli.prediction_input import (
    MOVING_CHOICES,
    PREDICTION_FILE,
    add_known_arguments,
    check_known,
    check_known_of,
    with_what_is_known,
)
from page4d.cli.values import DROP_HELP, OUT_HELP, device, keyframes, named_path, shard, share, weights, whole
from page4d.counted import counted
from page4d.schema import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from page4d.model import PAGE4D
    from page4d.result.cloud import CloudOptions
    from page4d.schema import Prediction
    from page4d.windows import Windows

LEAST_BYTES = 1_000_000
# Of a pixel, packed: depth, confidence and point of each head, its colour, and its place in the depth map's file.
PIXEL_BYTES = 16
DEFAULT_OVERLAP = 4  # that of `Windows`, which torch comes with
USUAL_OVERLAP = f"{DEFAULT_OVERLAP}, or half a window"
CHOICES = ("input_size", "fps", "every", "max_frames", "spread", "start", "end", "keyframes")
# How frames are read, timed and masked, with what each does when nobody asks.
READING = {"pages": "first", "bits": None, "alpha": True, "times_from": "names", "times": None, "mask_folder": None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page4d predict`."""
    add = parser.add_argument
    add_frame_arguments(parser)
    add(
        "--weights",
        type=weights,
        default="tiny",
        help="tiny (built in, a small demonstration; the default), nomask, mask, vggt, owner/name[/file], a file, or "
        "the folder of a run or of save_pretrained",
    )
    add("--out", type=named_path, required=True, help=OUT_HELP)
    add("--each", action="store_true", help="each input is a clip of its own and gets a folder of its own in --out")
    add("--shard", type=shard, metavar="I/N", help="with --each: take the I-th of N parts of the clips")
    add("--overwrite", action="store_true", help="replace an earlier prediction in --out")
    add("--device", type=device, default=None, help="cpu, cuda, cuda:1 or mps (default: cuda, else cpu)")
    add(
        "--precision",
        choices=("float32", "bf16"),
        help="type of the network's matrices (default: bf16 on CUDA devices that compute in it, else float32; on a "
        "CPU that has bfloat16 in AVX-512 alone, without AMX, it was slower than float32)",
    )
    add(
        "--compile",
        action="store_true",
        help="on a GPU: compile the network's blocks first, for long clips (what it takes and gains was not measured)",
    )
    add(
        "--fewer-keys",
        action="store_true",
        help="long clips: global attention looks at one of four patches of all frames but the first; about twice as "
        "fast at 64 frames, and not exact: pose errors of the small networks grew by up to 16 %% (chapter 'Speed and "
        "memory')",
    )
    add("--mask", action=argparse.BooleanOptionalAction, default=None, help="run with or without the mask")
    add("--window", type=whole(2), help="long clips: so many frames at a time, then joined (default: all at once)")
    add("--overlap", type=whole(), help=f"with --window: frames that two windows share (default: {USUAL_OVERLAP})")
    add("--loops", action="store_true", help="with --window: find places that the film comes back to, and correct it")
    add(
        "--keyframes",
        type=keyframes,
        nargs="?",
        const=keyframes("0.05"),
        metavar="SHARE",
        help="keep a frame when the picture has moved by that share of its diagonal since the last one (default: 0.05)",
    )
    add(
        "--moving",
        choices=MOVING_CHOICES,
        default="auto",
        help="where the moving masks come from (default: auto, the geometric ones, which every network gives)",
    )
    add_known_arguments(parser)
    add("--max-points", type=whole(), default=1_000_000, help="points in points.ply (default: %(default)s)")
    add("--drop", type=share, default=0.1, help=DROP_HELP)


def run(args: argparse.Namespace) -> int:
    """Predict and write; 0 when the folder stands."""
    if args.each:
        from page4d.cli.predict_each import run_each

        return run_each(args)
    if args.shard is not None:
        raise UserError("--shard divides the clips of --each; give --each too, or leave it out")
    return predict_one(args)


def predict_one(args: argparse.Namespace, network: PAGE4D | None = None) -> int:
    """Predict one clip, by a network that is loaded already or by the one that the options name."""
    from page4d.cli.film import run_film
    from page4d.cli.outfolder import check_out, check_space, whole_folder
    from page4d.io.weight_files import builtin_names

    check_words(args)
    if args.window is not None:
        return run_film(args, network)
    check_out(args.out, args.overwrite, PREDICTION_FILE)
    check_space(args.out, LEAST_BYTES)
    # torch comes with it, so it waits until there is something to predict.
    from page4d.result.cloud import CloudOptions

    cloud = CloudOptions(drop=args.drop, max_points=args.max_points)
    prediction, moving = _predict(args, network)
    with whole_folder(args.out, args.overwrite, PREDICTION_FILE) as folder:
        points = write_outputs(prediction, folder, cloud, moving)
    s, height, width = prediction.depth.shape
    mask = "without moving mask" if moving is None else f"{moving.mean():.0%} of the pixels moving"
    print(f"{args.out}: {counted(s, 'frame')} of {height} x {width} px, {mask}, {points} points")
    if args.weights in builtin_names():
        print(f"{args.weights} is a small network for demonstration; --weights nomask takes the released PAGE-4D")
    return 0


def load_network(args: argparse.Namespace) -> PAGE4D:
    """The network that the options name, on its device, in its precision, compiled where that was asked for."""
    from page4d.inference import compile_blocks, resolve_device
    from page4d.model import PAGE4D
    from page4d.model.precision import native_precision

    device = resolve_device(args.device)
    precision = args.precision or native_precision(device)
    model = PAGE4D.from_pretrained(args.weights, device=device, precision=precision, mask=args.mask)
    if args.moving == "model" and model.aggregator.alpha == 0:
        raise UserError(f"{args.weights} runs without a mask, so --moving model has none to write; take geometric")
    model.aggregator.fewer_keys = args.fewer_keys
    if args.compile:
        compile_blocks(model, device)
    return model


def _predict(args: argparse.Namespace, network: PAGE4D | None) -> tuple[Prediction, NDArray[np.bool_] | None]:
    """The prediction and its moving mask, None of a single frame or where none is wanted."""
    from contextlib import nullcontext
    from dataclasses import replace

    from page4d.cli.outfolder import check_space
    from page4d.cli.prediction_input import moving_of
    from page4d.cli.progress import block_progress
    from page4d.inference import device_for, predict, products_dtype
    from page4d.io.frames import list_frames, load_frames
    from page4d.keyframes import Keyframes, keyframes_of
    from page4d.model.memory import ForwardPass, memory_needed

    list_frames(args.inputs, frame_options(args))  # a typing mistake must not cost the download of weights
    model = load_network(args) if network is None else network
    device = device_for(model, None)
    frames = load_frames(args.inputs, frame_options(args, model.config.img_size, model.config.patch_size))
    if frames.kept is not None and not frames.kept.any():
        raise UserError(
            "masks or transparency leave out every pixel of every frame, so that no point would be left; in masks "
            "black is left out and white kept"
        )
    if args.keyframes is not None:
        frames, every = keyframes_of(frames, Keyframes(args.keyframes)), len(frames)
        print(f"{len(frames)} of {every} frames are keyframes", flush=True)
    check_known_of(frames, args)
    height, width = frames.size_hw
    check_space(args.out, len(frames) * height * width * PIXEL_BYTES)
    one = ForwardPass.of(model, len(frames), frames.size_hw, products_dtype(model, device, args.precision))
    print(memory_needed(one, device), flush=True)
    # The hooks of a progress bar would cut compiled blocks into pieces.
    said = f"{counted(len(frames), 'frame')} on {device}"
    with nullcontext() if args.compile else block_progress(model, said, 1):
        prediction = predict(model, frames, precision=args.precision)
    meta = prediction.meta | asked(args)
    prediction = with_what_is_known(replace(prediction, meta=meta), args)
    return prediction, moving_of(prediction, args.moving)


def asked(args: argparse.Namespace) -> dict[str, Any]:
    """What the options say of the network, of the frames and of windows, for the Prediction's meta."""
    said = {"weights": str(args.weights), "mode": args.mode} | _choice(args)
    if args.window is None:
        return said
    return said | {"windows": windows_of(args).record()}


def windows_of(args: argparse.Namespace) -> Windows:
    """The windows that --window, --overlap and --loops ask for."""
    from page4d.windows import Windows

    return Windows(args.window, overlap(args), args.loops)


def _choice(args: argparse.Namespace) -> dict[str, Any]:
    """How frames were chosen and read, for the Prediction's meta: what was said, and nothing that was not."""
    chosen = {name: getattr(args, name) for name in CHOICES}
    said = {name: value for name, value in chosen.items() if value not in (None, 1)}
    for name, usual in READING.items():
        value = getattr(args, name)
        if value != usual:
            said[name] = str(value) if isinstance(value, Path) else value
    return {"frames": said}


def check_words(args: argparse.Namespace) -> None:
    """Refuse options that mean nothing or do not go together, before anything is imported for them.

    Raises:  UserError.
    """
    if args.window is None and args.loops:
        raise UserError("--loops is for windows, one pass needs none; give --window too, or leave it out")
    if args.window is None and args.overlap is not None:
        raise UserError(f"--overlap {args.overlap} is for windows; give --window too, or leave it out")
    if args.window is None:
        check_known(args)
        return
    if not overlap(args) < args.window:
        raise UserError(f"windows of {args.window} frames with overlap {overlap(args)}; expected 0 < overlap < frames")
    # They take the whole film at once.
    for name in ("intrinsics", "poses", "scale_from"):
        if getattr(args, name):
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} is for clips in one pass; give it to `page4d view` or `export` of the film")


def overlap(args: argparse.Namespace) -> int:
    """Frames that two windows share; unasked no more than half of one."""
    if args.overlap is not None:
        return int(args.overlap)
    return min(DEFAULT_OVERLAP, int(args.window) // 2)


def write_outputs(
    prediction: Prediction, folder: Path, options: CloudOptions, moving: NDArray[np.bool_] | None = None
) -> int:
    """Write prediction.npz, points.ply, depth/*.png and, where they are given, masks/*.png; the number of points."""
    from page4d.result.cloud import point_count
    from page4d.result.exports import ExportOptions, export

    prediction.save(folder / PREDICTION_FILE)
    formats = ["ply", "depth-png"] + ([] if moving is None else ["masks"])
    export(prediction, folder, formats, ExportOptions(size="input", cloud=options, moving=moving))
    return point_count(prediction, options)
