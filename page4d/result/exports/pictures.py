"""The pictures that belong to exported cameras: the network's own, the user's files, or a film's frames."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from page4d.io.pictures import open_rgb
from page4d.io.safe_names import stem_of
from page4d.io.video import read_video
from page4d.result.exports.names import file_names
from page4d.result.exports.options import ExportOptions, subfolder
from page4d.schema import Prediction, UserError, atomic_write, notice

_FRAME_NUMBER = re.compile(r"_(\d+)$")


def picture_names(prediction: Prediction, options: ExportOptions) -> tuple[str, ...]:
    """Names with a picture's extension: what is written from a prediction or a film is PNG."""
    own = options.size == "original"
    names = file_names(prediction)
    return tuple(name if own and Path(name).suffix else f"{stem_of(name)}.png" for name in names)


def write_pictures(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """Write the pictures into `folder`/images; none if they are not at hand.

    Raises:  UserError if a picture is missing, unreadable, or not of the size that was predicted.
    """
    if options.size == "original" and options.images is None:
        return []
    target = subfolder(folder, "images")
    paths = [target / name for name in picture_names(prediction, options)]
    if options.size == "input":
        for path, pixels in zip(paths, prediction.images, strict=True):
            _write_png(path, Image.fromarray(pixels))
    elif options.images is not None and options.images.is_file():
        for i, picture in _film_frames(prediction, options.images):
            _check_size(prediction, i, picture.size, options.images)
            _write_png(paths[i], picture)
    elif options.images is not None:
        for i, path in enumerate(paths):
            _copy(prediction, i, _own_file(prediction, i, path, options.images), path)
    return paths


def _write_png(path: Path, picture: Image.Image) -> None:
    with atomic_write(path) as stream:
        picture.save(stream, "PNG")


def _film_frames(prediction: Prediction, film: Path) -> Iterator[tuple[int, Image.Image]]:
    """Index and picture of every frame of a prediction, decoded from its film at full size."""
    found = [_FRAME_NUMBER.search(name) for name in prediction.frame_names]
    wanted = {int(number[1]): i for i, number in enumerate(found) if number is not None}
    if len(wanted) != len(prediction):
        raise UserError(f"{film} is one file, but the frames are not named like a film's; give a folder of images")
    if not all(name.startswith(f"{film.stem}_") for name in prediction.frame_names):
        notice(f"the frames are named like {prediction.frame_names[0]}, the film {film.name}; is it the same film?")
    for frame in read_video(film):
        if frame.number in wanted:
            yield wanted.pop(frame.number), frame.image
        if not wanted:
            return
    raise UserError(f"{film} ends before frame {min(wanted)}; give the film that the prediction was made from")


def _own_file(prediction: Prediction, i: int, path: Path, folder: Path) -> Path:
    """The user's file of a frame: of the frame's name with its folders if there is such a file, else without."""
    name = Path(prediction.frame_names[i]).with_suffix(path.suffix)
    inside = not name.is_absolute() and ".." not in name.parts
    return folder / name if inside and (folder / name).is_file() else folder / name.name


def _copy(prediction: Prediction, i: int, source: Path, path: Path) -> None:
    picture = open_rgb(source)
    _check_size(prediction, i, picture.size, source)
    with atomic_write(path) as stream:
        stream.write(source.read_bytes())


def _check_size(prediction: Prediction, i: int, size_wh: tuple[int, int], source: Path) -> None:
    height, width = prediction.original_hw[i]
    if size_wh != (width, height):
        raise UserError(f"{source} is {size_wh[0]} x {size_wh[1]}, the prediction was made from {width} x {height}")
