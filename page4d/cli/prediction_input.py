"""What `view` and `export` share: reading a Prediction, known intrinsics, metric scale, moving mask."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from page4d.cli.values import DROP_HELP, named_path, positive, share
from page4d.counted import counted
from page4d.places import json_of, no_file
from page4d.schema import Prediction, UserError
from page4d.stored import FILM_FILE, FILM_FOLDER, StoredPrediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from page4d.io.images import LoadedImages
    from page4d.result.metric_scale import MetricScale

PREDICTION_FILE = "prediction.npz"  # of a clip, in the folder that `page4d predict` makes
SENSOR_SUFFIXES = (".png", ".pgm", ".npy")
LONG_FILM_BYTES = 1_000_000_000  # of a film in parts, from which on reading all of it is worth a warning
LOADING = 2  # times the parts, which are all in memory while they are put together
MOVING_CHOICES = ("auto", "geometric", "model", "none")


def add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say how a prediction is read and understood."""
    add = parser.add_argument
    add("prediction", type=named_path, help="prediction.npz, or the folder that `page4d predict` made")
    add(
        "--moving",
        choices=MOVING_CHOICES,
        default="auto",
        help="where the moving mask comes from (default: %(default)s)",
    )
    add("--drop", type=share, default=0.1, help=DROP_HELP)
    add("--frames", metavar="A:B[:N]", help="only frames A up to B, or every N-th; of a long film only these are read")
    # A rule of colour and confidence marked up to 3.5 % of the pixels of clips without any sky, so none is offered.
    add(
        "--max-depth",
        type=positive,
        help="leave out what is farther, in the prediction's unit (a sky is not recognized)",
    )
    add("--level", action="store_true", help="turn the world so that what the cameras call up is up")
    add_known_arguments(parser)


def add_known_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say what is known of the cameras and of the scene's size."""
    add = parser.add_argument
    add(
        "--intrinsics",
        metavar="FX,FY,CX,CY|FILE",
        help="known intrinsics in pixels of the original images, first pixel centred at 0; or a JSON file with K",
    )
    add(
        "--poses",
        type=named_path,
        metavar="FILE",
        help="known camera poses (TUM format, or 12 or 16 numbers a row): brings the result into their world and scale",
    )
    add(
        "--scale-from",
        metavar="KIND:...",
        help="metres from distance:FRAME,X1,Y1,X2,Y2,METRES (original pixels), depth:FOLDER[,UNITS_PER_METRE] "
        "(sensor depth, one file a frame) or trajectory:FILE (TUM or KITTI format, metres)",
    )


def read_prediction(args: argparse.Namespace) -> Prediction:
    """The prediction with known intrinsics and scale put in."""
    from page4d.result.placed import levelled, without_far

    prediction = with_what_is_known(_stored_frames(args.prediction, args.frames), args)
    if args.max_depth is not None:
        prediction = without_far(prediction, args.max_depth)
    return levelled(prediction) if args.level else prediction


def check_known(args: argparse.Namespace) -> None:
    """Refuse what cannot be understood of the options, before the work that it would be used on.

    Raises:  UserError.
    """
    if args.poses and args.scale_from:
        raise UserError("--poses and --scale-from both say how large the scene is; give one")
    if args.intrinsics:
        parse_intrinsics(args.intrinsics)
    if args.scale_from:
        check_scale_words(args.scale_from)
    if args.poses:
        from page4d.io.trajectories import read_trajectory

        read_trajectory(args.poses)


def check_prediction(args: argparse.Namespace) -> None:
    """Refuse words that mean nothing and a prediction that is not there, before anything heavy is imported for them.

    Raises:  UserError.
    """
    _slice(args.frames)
    StoredPrediction.open(stored_path(args.prediction))
    check_known(args)


def check_known_of(frames: LoadedImages, args: argparse.Namespace) -> None:
    """Refuse what does not go with these frames, before they are predicted.

    Raises:  UserError for counts, times or sizes that do not fit.
    """
    from page4d.io.trajectories import read_trajectory
    from page4d.result.metric_scale import check_path, check_registered, paired_frames, seen_pixels

    if args.intrinsics:
        K = parse_intrinsics(args.intrinsics)
        if K.ndim == 3 and len(K) != len(frames):
            raise UserError(f"{args.intrinsics} holds {len(K)} matrices K for {len(frames)} frames; expected one each")
    if args.poses:
        from page4d.known_poses import check_given

        given = read_trajectory(args.poses)
        check_given(given.positions[paired_frames(frames, given, least=2)[1]])
    kind, _, rest = (args.scale_from or "").partition(":")
    if kind == "trajectory":
        given = read_trajectory(rest)
        check_path(given.positions[paired_frames(frames, given)[1]])
    elif kind == "distance":
        frame, (x1, y1, x2, y2, _) = _distance_words(args.scale_from, rest)
        if not 0 <= frame < len(frames):
            raise UserError(f"--scale-from {args.scale_from}: there is no frame {frame}, only 0 to {len(frames) - 1}")
        seen_pixels(frames, frames.names[frame], frame, ((x1, y1), (x2, y2)))
    elif kind == "depth":
        folder, per_metre = _sensor_folder(rest)
        for frame, path in _sensor_files(folder, frames.names).items():
            check_registered(_read_sensor(path, per_metre), frames.original_hw[frame].tolist(), frame)


def with_what_is_known(prediction: Prediction, args: argparse.Namespace) -> Prediction:
    """The prediction with the intrinsics, poses and scale of the options put in; says how well they fit."""
    if args.intrinsics:
        from page4d.result.original import with_intrinsics

        prediction = with_intrinsics(prediction, parse_intrinsics(args.intrinsics))
    if args.poses:
        from page4d.io.trajectories import read_trajectory
        from page4d.known_poses import with_poses

        prediction, fit = with_poses(prediction, read_trajectory(args.poses))
        print(fit.words())
    if args.scale_from:
        from page4d.result.metric_scale import apply_scale

        scale = find_scale(prediction, args.scale_from)
        prediction = apply_scale(prediction, scale)
        spread = f", single measurements scatter by {scale.spread:.1%}" if scale.spread == scale.spread else ""
        print(f"scale: {scale.factor:.6g} m per scene unit from {scale.source}{spread}")
    return prediction


def _stored_frames(path: Path, frames: str | None) -> Prediction:
    """All frames of a prediction, or those that were asked for: of a film in parts only these are read."""
    path = stored_path(path)
    stored = StoredPrediction.open(path)
    if not stored.finished:
        print(f"{path} is not finished: it has {counted(len(stored), 'frame')}", file=sys.stderr)
    if frames is None and path.is_dir() and stored.bytes >= LONG_FILM_BYTES:
        takes = LOADING * stored.bytes / 1e9
        print(f"all {len(stored)} frames of {path} take about {takes:.1f} GB; --frames A:B reads fewer", flush=True)
    return stored[_slice(frames)]


def stored_path(path: Path) -> Path:
    """Where a prediction lies that is named by its file, its film or the folder of its run."""
    if not path.is_dir():
        return path
    clip, film = path / PREDICTION_FILE, path / FILM_FOLDER
    if clip.is_file():
        return clip
    if film.is_dir():
        return film
    return path if (path / FILM_FILE).is_file() else clip  # whose absence is told with the usual words


def _slice(text: str | None) -> slice:
    """Frames as Python writes a slice: A:B, A:, :B, A:B:N."""
    if text is None:
        return slice(None)
    try:
        words = [int(word) if word else None for word in text.split(":")]
    except ValueError as error:
        raise UserError(f"--frames {text!r}: expected A:B or A:B:N, whole numbers, for example 100:200") from error
    if not 2 <= len(words) <= 3 or (len(words) == 3 and words[2] is not None and words[2] < 1):
        raise UserError(f"--frames {text!r}: expected A:B or A:B:N with N of 1 or more, for example 100:200")
    return slice(*words)


def moving_of(prediction: Prediction, choice: str) -> NDArray[np.bool_] | None:
    """The moving mask that was asked for; "auto" is the better method where it can be used, else none."""
    from page4d.result.motion import moving_mask

    if choice == "none":
        return None
    if choice == "auto" and len(prediction) < 2:
        return None  # a single frame says nothing about motion, and nobody asked for it
    return moving_mask(prediction, choice)


def parse_intrinsics(text: str) -> NDArray[np.float64]:
    """K (3, 3) or (S, 3, 3) from `FX,FY,CX,CY` or a JSON file: K itself, {"K": ...}, or frames with one each."""
    import numpy as np

    if Path(text).is_file():
        try:
            stored = json_of(Path(text))
            if not isinstance(stored, list):
                stored = stored["K"] if "K" in stored else [frame["K"] for frame in stored["frames"]]
            K = np.asarray(stored, np.float64)
        except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
            raise UserError(
                f"{text} holds no intrinsics: expected JSON with K, or frames with K each ({error})"
            ) from error
    elif Path(text).exists():
        raise UserError(f"--intrinsics: {no_file(Path(text))}; expected a JSON file, or numbers FX,FY,CX,CY")
    else:
        try:
            fx, fy, cx, cy = (float(word) for word in text.split(","))
        except ValueError as error:
            raise UserError(
                f"--intrinsics {text!r}: expected numbers FX,FY,CX,CY or the name of a JSON file"
            ) from error
        K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    from page4d.result.original import check_intrinsics  # with torch, which words that are no numbers need not wait for

    try:
        check_intrinsics(K)
    except UserError as error:
        raise UserError(f"--intrinsics {text}: {error}") from error
    return K


def check_scale_words(text: str) -> None:
    """Refuse a --scale-from that names nothing, before there is a prediction to scale.

    Raises:  UserError.
    """
    kind, rest = _scale_kind(text)
    if kind == "trajectory":
        from page4d.io.trajectories import read_trajectory

        read_trajectory(rest)
    elif kind == "depth":
        _sensor_folder(rest)
    else:
        _distance_words(text, rest)


def _scale_kind(text: str) -> tuple[str, str]:
    """What the scale is taken from, and what follows: a distance may follow in vain, which is told with its numbers."""
    kind, _, rest = text.partition(":")
    if kind == "distance" or (kind in ("depth", "trajectory") and rest):
        return kind, rest
    raise UserError(f"--scale-from {text!r}: start it with distance:, depth: or trajectory:")


def _distance_words(text: str, rest: str) -> tuple[int, tuple[float, ...]]:
    try:
        frame, *numbers = (float(word) for word in rest.split(","))
        if len(numbers) != 5:
            raise ValueError("not six numbers")
    except ValueError as error:
        raise UserError(f"--scale-from {text!r}: expected distance:FRAME,X1,Y1,X2,Y2,METRES") from error
    if not frame.is_integer():
        raise UserError(f"--scale-from {text!r}: frame {frame:g} is not a whole number; frames count from 0")
    if not all(map(math.isfinite, numbers)) or numbers[4] <= 0:
        raise UserError(f"--scale-from {text!r}: expected finite pixels and a distance of more than 0 metres")
    return int(frame), tuple(numbers)


def find_scale(prediction: Prediction, text: str) -> MetricScale:
    """The scale that `--scale-from` asks for."""
    from page4d.result.metric_scale import scale_from_distance, scale_from_trajectory

    kind, rest = _scale_kind(text)
    if kind == "distance":
        frame, (x1, y1, x2, y2, metres) = _distance_words(text, rest)
        return scale_from_distance(prediction, frame, (x1, y1), (x2, y2), metres)
    if kind == "depth":
        return _scale_from_depth_folder(prediction, rest)
    from page4d.io.trajectories import read_trajectory

    return scale_from_trajectory(prediction, read_trajectory(rest))


def _scale_from_depth_folder(prediction: Prediction, text: str) -> MetricScale:
    """Sensor depth by frame name, or in order where the numbers of files and frames are equal."""
    from page4d.result.metric_scale import scale_from_depth

    folder, per_metre = _sensor_folder(text)
    named = _sensor_files(folder, prediction.frame_names)
    return scale_from_depth(prediction, {i: _read_sensor(p, per_metre) for i, p in named.items()})


def _sensor_files(folder: Path, names: Sequence[str]) -> dict[int, Path]:
    """The sensor's file of each frame that has one: of its name, or in order where there are as many."""
    from page4d.io.names import list_files

    files = list_files(folder, SENSOR_SUFFIXES)
    by_stem = {p.stem: p for p in files}
    named = {i: by_stem[Path(name).stem] for i, name in enumerate(names) if Path(name).stem in by_stem}
    if not named and len(files) == len(names):
        named = dict(enumerate(files))
    if not named:
        raise UserError(
            f"{folder}: no {', '.join(SENSOR_SUFFIXES)} is named like a frame, and {len(files)} such files are not "
            f"{len(names)}, one a frame"
        )
    return named


def _sensor_folder(text: str) -> tuple[Path, float | None]:
    """The folder, and units per metre where they are given after a comma."""
    folder_text, comma, units = text.rpartition(",")
    try:
        folder, per_metre = (Path(folder_text), float(units)) if comma else (Path(text), None)
    except ValueError:
        folder, per_metre = Path(text), None
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder of depth frames")
    if per_metre is not None and not 0 < per_metre < float("inf"):
        raise UserError(f"depth:{text}: {per_metre:g} units a metre; expected a positive number, for example 1000")
    return folder, per_metre


def _read_sensor(path: Path, per_metre: float | None) -> NDArray[np.float32]:
    from page4d.data.datasets.formats import read_pgm16
    from page4d.io.depth_formats import read_depth_npy
    from page4d.io.depth_png import read_depth_png

    kind = path.suffix.lower()
    if kind == ".npy":
        return read_depth_npy(path)
    if kind == ".png":
        return read_depth_png(path, per_metre)
    if per_metre is None:
        raise UserError(f"{path} does not say its depth scale; write depth:FOLDER,UNITS_PER_METRE, for example 1000")
    return (read_pgm16(path) / per_metre).astype("float32")
