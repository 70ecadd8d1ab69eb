"""Pictures as the network wants them: opened, fitted (see `io.fitting`), joined; what is left out is told."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from page4d.counted import counted
from page4d.io.fitting import CUT_TOLD, RELEASED_PATCH, RELEASED_SIZE, FittedImage, Mode, check_fit, fit_image
from page4d.io.names import list_files, time_stamps_s
from page4d.io.pictures import ImageSource, Page, Picture, header_of, open_picture, open_rgb
from page4d.io.suffixes import picture_suffixes
from page4d.schema import UserError, notice

Pages = Literal["first", "all"]
SHAPE_TOLERANCE = 0.02  # of a mask's height: smaller masks are rounded to whole pixels


@dataclass(frozen=True)
class LoadedImages:
    """Images ready for the network, and which part of each original they show.

    Shapes:  images (S, 3, H, W) RGB float32 in [0, 1]; original_hw (S, 2); box_in_original (S, 4) = x0, y0, x1, y1;
             timestamps_s (S,), NaN where unknown; kept bool (S, H, W), None where every pixel counts.
    Note:    boxes are in pixel edges of the original after its EXIF rotation: (0, 0, width, height) is all of it,
             values outside are borders that were added. A pixel that is not kept is transparent or under a mask.
    """

    images: Tensor
    original_hw: NDArray[np.int64]
    box_in_original: NDArray[np.float64]
    names: tuple[str, ...]
    timestamps_s: NDArray[np.float64]
    kept: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def __getitem__(self, part: slice) -> LoadedImages:
        """Some of the frames."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: value[part] for name, value in values.items() if value is not None})

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return int(self.images.shape[2]), int(self.images.shape[3])


@dataclass(frozen=True)
class Reading:
    """How pictures are read: every way in which a file can be taken, each with its usual answer.

    Note:    `pages` takes the first or all of a file that holds several; `bits` is the range of 16-bit pixels, guessed
             where it is None; `alpha` leaves transparent pixels out of what is made of the picture; `masks` maps a
             frame's name to the file of its mask, black where it is left out.
    """

    mode: Mode = "crop"
    size: int = RELEASED_SIZE
    patch: int = RELEASED_PATCH
    pages: Pages = "first"
    bits: int | None = None
    alpha: bool = True
    masks: Mapping[str, Path] = field(default_factory=dict)


def load_images(
    paths: ImageSource | Sequence[ImageSource],
    mode: Mode = "crop",
    size: int = RELEASED_SIZE,
    patch: int = RELEASED_PATCH,
    timestamps_s: Sequence[float] | None = None,
) -> LoadedImages:
    """Load images, or all images of a folder, as one batch of frames.

    Shapes:  S files (or PIL images) -> images (S, 3, H, W); H and W are multiples of `patch`, at most `size`.
    Note:    EXIF rotation is honoured and every kind of transparency is composited on white. Images that still differ
             in size are padded with white to the largest; what is cut, left out or guessed is told by a `Notice`.
             Where every name is a time stamp, these are the times, unless others are given.
    Raises:  UserError for an empty list or folder, a missing, empty or unreadable file, an unknown mode, or an image so
             long and thin that it has no whole patch.
    """
    check_fit(mode, size, patch)
    return read_pictures(_as_list(paths), Reading(mode, size, patch), timestamps_s)


def read_pictures(
    sources: Sequence[ImageSource | Page], reading: Reading, timestamps_s: Sequence[float] | None = None
) -> LoadedImages:
    """Open and fit pictures one by one, so that only their fitted size is held, and join them to a batch.

    Raises:  UserError as `load_images`.
    """
    check_fit(reading.mode, reading.size, reading.patch)
    names = frame_names(sources)
    told = _Told(reading)
    fitted = [told.fit(name, _opened(source, reading)) for name, source in zip(names, sources, strict=True)]
    if told.bits_differ:
        # One true 16-bit picture says what the dark ones beside it are.
        deep = replace(reading, bits=16)
        told = _Told(deep)
        fitted = [told.fit(name, _opened(source, deep)) for name, source in zip(names, sources, strict=True)]
    told.tell()
    if timestamps_s is None:
        timestamps_s = time_stamps_s(names)
    return collate(fitted, names, timestamps_s)


def _opened(source: ImageSource | Page, reading: Reading) -> Picture:
    return open_picture(source, bits=reading.bits)


class _Told:
    """Fits pictures and keeps account of what is cut, left out or guessed, to say it once for all."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._names: dict[str, list[str]] = defaultdict(list)
        self._bits: set[int] = set()
        self._cut = 0.0

    @property
    def bits_differ(self) -> bool:
        """Whether some deep pictures were taken as 12 and others as 16 bits."""
        return len(self._bits) > 1

    def fit(self, name: str, picture: Picture) -> FittedImage:
        """One picture at the network's size, less what is left out of it."""
        reading = self.reading
        fitted = fit_image(picture.rgb, reading.mode, reading.size, reading.patch, picture.size_wh)
        if fitted.cut_share > CUT_TOLD:
            self._names["cut"].append(name)
            self._cut = max(self._cut, fitted.cut_share)
        if picture.bits > 8:
            self._bits.add(picture.bits)
        if picture.bits == 12 and reading.bits is None:
            self._names["dark"].append(name)
        if picture.pages > 1 and reading.pages == "first":
            self._names["pages"].append(f"{name}: {picture.pages}")
        if picture.opaque is not None and reading.alpha:
            self._names["transparent"].append(name)
            fitted = fitted.without(~picture.opaque)
        if name in reading.masks:
            fitted = fitted.without(left_out_by(reading.masks[name], fitted.original_hw))
        return fitted

    def tell(self) -> None:
        """One line for each kind of thing that was done."""
        if cut := self._names["cut"]:
            shares = f"mode {self.reading.mode!r} cuts up to {self._cut:.0%} of the height"
            notice(f"{shares} of {named(cut)}; --mode pad keeps all of it")
        if dark := self._names["dark"]:
            taken = f"{named(dark)} with 16-bit pixels, none above 4095, read as 12-bit"
            notice(f"{taken}; --bits 16 takes them as they are")
        if several := self._names["pages"]:
            notice(f"only the first page or frame is used of {named(several)}; --pages all takes every one")
        if see_through := self._names["transparent"]:
            left_out = f"transparent parts are left out of points and scale in {named(see_through)}"
            notice(f"{left_out}; --no-alpha keeps them white")


def named(names: Sequence[str]) -> str:
    """How many pictures, and what the first of them are called."""
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{counted(len(names), 'picture')} ({shown})"


def left_out_by(path: Path, picture_hw: tuple[int, int] | None = None) -> NDArray[np.bool_]:
    """Pixels (H, W) that a mask file leaves out: the black ones, or the transparent ones where it has any.

    Note:    it may be smaller or larger than its picture, but of one shape with it: a mask of what a network saw of
             the picture would be stretched over all of it.
    Raises:  UserError as `open_picture`, and for a mask of another shape than its picture.
    """
    picture = open_picture(path)
    width, height = picture.rgb.size
    if picture_hw is not None:
        expected = width * picture_hw[0] / picture_hw[1]
        if abs(height - expected) > max(1, SHAPE_TOLERANCE * expected):
            raise UserError(
                f"{path} has {height} x {width} px and its picture {picture_hw[0]} x {picture_hw[1]}; expected a mask "
                "of the whole picture, of its size or the same shape"
            )
    return ~picture.opaque if picture.opaque is not None else np.asarray(picture.rgb).max(-1) == 0


def expand_pages(sources: Sequence[ImageSource]) -> list[ImageSource | Page]:
    """Every page of every file, in order."""
    pages: list[ImageSource | Page] = []
    for source in sources:
        count = getattr(source, "n_frames", 1) if not isinstance(source, (str, os.PathLike)) else _pages(source)
        pages += [source] if count == 1 else [Page(Path(str(source)), number) for number in range(count)]
    return pages


def _pages(source: os.PathLike[str] | str) -> int:
    return header_of(Path(source))[2]


def collate(
    fitted: Sequence[FittedImage], names: Sequence[str], timestamps_s: Sequence[float] | None = None
) -> LoadedImages:
    """Join fitted images to one batch, padding with white to the largest where sizes differ (with a notice).

    Raises:  UserError if there are not as many times as images.
    """
    times = np.full(len(fitted), np.nan) if timestamps_s is None else np.asarray(timestamps_s, np.float64)
    if times.shape != (len(fitted),):
        raise UserError(f"{times.size} timestamps for {len(fitted)} images; give one for each or none")
    fitted = _same_size(fitted)
    sizes = np.array([f.original_hw for f in fitted], np.int64)
    boxes = np.array([f.box for f in fitted], np.float64)
    return LoadedImages(_to_tensor(fitted), sizes, boxes, tuple(names), times, _kept(fitted))


def _kept(fitted: Sequence[FittedImage]) -> NDArray[np.bool_] | None:
    if all(f.kept is None for f in fitted):
        return None
    everything = np.ones(fitted[0].pixels.shape[:2], np.bool_)
    return np.stack([everything if f.kept is None else f.kept for f in fitted])


def load_and_preprocess_images(image_path_list: Sequence[ImageSource], mode: str = "crop") -> Tensor:
    """VGGT's loader, under its name: files -> (S, 3, H, W) in [0, 1], 518 pixels wide, patches of 14.

    Note:    as in the public loader EXIF rotation is ignored; `load_images` honours it.
    Raises:  UserError (a ValueError) for an empty list, another mode than "crop" and "pad", or an unreadable file.
    """
    if mode not in ("crop", "pad"):
        raise UserError(f"mode is {mode!r}, expected 'crop' or 'pad'")
    fitting: Mode = "crop" if mode == "crop" else "pad"
    pictures = (open_rgb(source, rotate=False) for source in _as_list(image_path_list))
    return _to_tensor(_same_size([fit_image(picture, fitting, RELEASED_SIZE, RELEASED_PATCH) for picture in pictures]))


def load_and_preprocess_images_square(
    image_path_list: Sequence[ImageSource], target_size: int = 1024
) -> tuple[Tensor, Tensor]:
    """VGGT's square loader: pad to a square with black, resize to `target_size`.

    Shapes:  S files -> images (S, 3, target, target), coordinates (S, 6) = x1, y1, x2, y2, width, height: the box of
             the original within the new image, then the size of the original.
    Note:    as in the public loader EXIF rotation is ignored.
    """
    check_fit("square", target_size, 1)
    pictures = (open_rgb(source, rotate=False) for source in _as_list(image_path_list))
    fitted = [fit_image(picture, "square", target_size, 1) for picture in pictures]
    rows = []
    for item in fitted:
        height, width = item.original_hw
        scale = target_size / max(height, width)
        left, top = -item.box[0] * scale, -item.box[1] * scale
        rows.append((left, top, left + width * scale, top + height * scale, width, height))
    return _to_tensor(fitted), torch.tensor(rows, dtype=torch.float32)


def list_images(folder: os.PathLike[str] | str) -> list[Path]:
    """Image files of a folder in natural order (2.png before 10.png), hidden files left out.

    Raises:  UserError if the folder is missing or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give a folder of images, image files or one video")
    found = list_files(folder, picture_suffixes())
    if not found:
        raise UserError(f"{folder} holds no image; looked for {' '.join(sorted(picture_suffixes()))}")
    return found


def _as_list(paths: ImageSource | Sequence[ImageSource]) -> list[ImageSource]:
    if isinstance(paths, (str, os.PathLike)):
        return list(list_images(paths)) if Path(paths).is_dir() else [paths]
    if not isinstance(paths, Sequence):
        return [paths]
    if len(paths) == 0:
        raise UserError("no images given; at least one is needed")
    return list(paths)


def frame_names(sources: Sequence[ImageSource | Page]) -> list[str]:
    """A name for each source: of a file its own, with as much of its folders as it takes to tell files apart."""
    names = [_name(source, i) for i, source in enumerate(sources)]
    if len(set(names)) == len(names):
        return names
    folders = [_folders(source) for source in sources]
    deepest = max(len(parts) for parts in folders)
    for depth in range(1, deepest + 1):
        longer = ["/".join((*parts[-depth:], name)) for parts, name in zip(folders, names, strict=True)]
        if len(set(longer)) == len(longer):
            return longer
    return names  # the same file twice


def _folders(source: ImageSource | Page) -> tuple[str, ...]:
    if isinstance(source, Page):
        return source.path.absolute().parent.parts[1:]
    return Path(source).absolute().parent.parts[1:] if isinstance(source, (str, os.PathLike)) else ()


def _name(source: ImageSource | Page, index: int) -> str:
    if isinstance(source, Page):
        return source.name
    return Path(source).name if isinstance(source, (str, os.PathLike)) else f"image_{index:06d}"


def _same_size(fitted: Sequence[FittedImage]) -> Sequence[FittedImage]:
    shapes = sorted({f.pixels.shape[:2] for f in fitted})
    if len(shapes) == 1:
        return fitted
    height, width = (max(sides) for sides in zip(*shapes, strict=True))
    listed = ", ".join(f"{h} x {w}" for h, w in shapes[:4])
    notice(
        f"images have {len(shapes)} different sizes after resizing (height x width: {listed}); all are padded with "
        f"white to {height} x {width}"
    )
    return [f.grown(height, width) for f in fitted]


def _to_tensor(fitted: Sequence[FittedImage]) -> Tensor:
    pixels = torch.from_numpy(np.stack([f.pixels for f in fitted]))
    return pixels.permute(0, 3, 1, 2).contiguous().float().div_(255)
