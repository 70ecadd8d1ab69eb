"""Images as the network wants them: opened safely, sized to whole patches, with a record of what was cut or added.

Three ways of fitting an image to the network, all with PIL's bicubic filter (which antialiases when shrinking):

    crop     width becomes `size`, height follows in whole patches; of a taller image the middle `size` rows are kept
    pad      the longer side becomes `size`, the other follows in whole patches; white borders make it square
    square   black borders make the original square, which is then resized to `size`
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from page4d.io.names import list_files
from page4d.schema import UserError

Mode = Literal["crop", "pad", "square"]
MODES: tuple[Mode, ...] = ("crop", "pad", "square")
EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif", ".jp2"})

ImageSource = Image.Image | os.PathLike[str] | str


@dataclass(frozen=True)
class LoadedImages:
    """Images ready for the network, and which part of each original they show.

    Shapes:  images (S, 3, H, W) RGB float32 in [0, 1]; original_hw (S, 2); box_in_original (S, 4) = x0, y0, x1, y1;
             timestamps_s (S,), NaN where unknown.
    Boxes:   in pixel edges of the original after its EXIF rotation: (0, 0, width, height) is all of it, values outside
             are borders that were added.
    """

    images: Tensor
    original_hw: NDArray[np.int64]
    box_in_original: NDArray[np.float64]
    names: tuple[str, ...]
    timestamps_s: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.images.shape[0])

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return int(self.images.shape[2]), int(self.images.shape[3])


@dataclass(frozen=True)
class FittedImage:
    """One resized image (H, W, 3) uint8 and the window of the original that it shows."""

    pixels: NDArray[np.uint8]
    original_hw: tuple[int, int]
    box: tuple[float, float, float, float]

    def grown(self, height: int, width: int) -> FittedImage:
        """The same image in the middle of a larger white one; an odd pixel goes to the bottom and the right."""
        h, w = self.pixels.shape[:2]
        top, left = (height - h) // 2, (width - w) // 2
        canvas = np.full((height, width, 3), 255, np.uint8)
        canvas[top : top + h, left : left + w] = self.pixels
        x0, y0, x1, y1 = self.box
        sx, sy = (x1 - x0) / w, (y1 - y0) / h
        box = (x0 - left * sx, y0 - top * sy, x0 + (width - left) * sx, y0 + (height - top) * sy)
        return FittedImage(canvas, self.original_hw, box)


def load_images(
    paths: ImageSource | Sequence[ImageSource],
    mode: Mode = "crop",
    size: int = 518,
    patch: int = 14,
    timestamps_s: Sequence[float] | None = None,
) -> LoadedImages:
    """Load images, or all images of a folder, as one batch of frames.

    Shapes:  S files (or PIL images) -> images (S, 3, H, W); H and W are multiples of `patch`, at most `size`.
    Note:    EXIF rotation is honoured and every kind of transparency is composited on white. Images that still differ
             in size are padded with white to the largest, with a warning.
    Raises:  UserError for an empty list or folder, a missing, empty or unreadable file, an unknown mode, or an image so
             long and thin that it has no whole patch.
    """
    check_fit(mode, size, patch)
    sources = _as_list(paths)
    fitted = [fit_image(open_rgb(source), mode, size, patch) for source in sources]
    return collate(fitted, [_name(source, i) for i, source in enumerate(sources)], timestamps_s)


def collate(
    fitted: Sequence[FittedImage], names: Sequence[str], timestamps_s: Sequence[float] | None = None
) -> LoadedImages:
    """Join fitted images to one batch, padding with white to the largest where sizes differ (with a warning)."""
    times = np.full(len(fitted), np.nan) if timestamps_s is None else np.asarray(timestamps_s, np.float64)
    if times.shape != (len(fitted),):
        raise UserError(f"{times.size} timestamps for {len(fitted)} images; give one for each or none")
    fitted = _same_size(fitted)
    return LoadedImages(
        images=_to_tensor(fitted),
        original_hw=np.array([f.original_hw for f in fitted], np.int64),
        box_in_original=np.array([f.box for f in fitted], np.float64),
        names=tuple(names),
        timestamps_s=times,
    )


def load_and_preprocess_images(image_path_list: Sequence[ImageSource], mode: str = "crop") -> Tensor:
    """VGGT's loader, under its name: files -> (S, 3, H, W) in [0, 1], 518 pixels wide, patches of 14.

    Note:    as in the public loader EXIF rotation is ignored; `load_images` honours it.
    Raises:  UserError (a ValueError) for an empty list, another mode than "crop" and "pad", or an unreadable file.
    """
    if mode not in ("crop", "pad"):
        raise UserError(f"mode is {mode!r}, expected 'crop' or 'pad'")
    sources = _as_list(image_path_list)
    return _to_tensor(_same_size([fit_image(open_rgb(s, rotate=False), mode, 518, 14) for s in sources]))  # type: ignore[arg-type]


def load_and_preprocess_images_square(
    image_path_list: Sequence[ImageSource], target_size: int = 1024
) -> tuple[Tensor, Tensor]:
    """VGGT's square loader: pad to a square with black, resize to `target_size`.

    Shapes:  S files -> images (S, 3, target, target), coordinates (S, 6) = x1, y1, x2, y2, width, height: the box of
             the original within the new image, then the size of the original.
    Note:    as in the public loader EXIF rotation is ignored.
    """
    check_fit("square", target_size, 1)
    fitted = [fit_image(open_rgb(s, rotate=False), "square", target_size, 1) for s in _as_list(image_path_list)]
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
    found = list_files(folder, EXTENSIONS)
    if not found:
        raise UserError(f"{folder} holds no image; looked for {' '.join(sorted(EXTENSIONS))}")
    return found


def open_rgb(source: ImageSource, rotate: bool = True) -> Image.Image:
    """Open one image as 8-bit RGB: EXIF rotation applied if `rotate`, transparency on white, 16 bits scaled to 8.

    Raises:  UserError naming the file if it is missing, empty, no image, cut short, too large or has float pixels.
    """
    if isinstance(source, Image.Image):
        return _to_rgb(source, "the given image")
    path = Path(source)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the folder alone or a list of image files")
    if not path.exists():
        raise UserError(f"{path} does not exist; give image files, a folder of images or one video")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); copy it again or leave it out")
    try:
        with Image.open(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image) if rotate else image
            return _to_rgb(upright, str(path))
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not an image that Pillow can read, whatever its name says") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} is too large: {error}; shrink it first") from error
    except (OSError, SyntaxError, EOFError) as error:
        raise UserError(f"{path} cannot be read as an image, it may be cut short: {error}") from error


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "F":
        raise UserError(f"{name} has floating-point pixels, whose range is unknown; save it as 8- or 16-bit image")
    if image.mode.startswith("I"):
        # PIL's own conversion clips 16-bit values at 255, which turns nearly everything white.
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UserError(
                f"{name} has values {values.min()} to {values.max()}, expected 0 to 65535 for a 16-bit image"
            )
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image).convert("RGB")
    return image.convert("RGB")


def _as_list(paths: ImageSource | Sequence[ImageSource]) -> list[ImageSource]:
    if isinstance(paths, Image.Image):
        return [paths]
    if isinstance(paths, (str, os.PathLike)):
        return list(list_images(paths)) if Path(paths).is_dir() else [paths]
    if len(paths) == 0:
        raise UserError("no images given; at least one is needed")
    return list(paths)


def _name(source: ImageSource, index: int) -> str:
    return f"image_{index:06d}" if isinstance(source, Image.Image) else Path(source).name


def check_fit(mode: str, size: int, patch: int) -> None:
    if mode not in MODES:
        raise UserError(f"mode is {mode!r}, expected one of {', '.join(MODES)}")
    if patch < 1 or size < patch or size % patch:
        raise UserError(f"size {size} is not a positive multiple of the patch size {patch}")


def fit_image(image: Image.Image, mode: Mode, size: int, patch: int) -> FittedImage:
    """Resize one RGB image by the rule of `mode` (see the top of this file) and note which part of it is shown."""
    width, height = image.size
    if mode == "square":
        side = max(width, height)
        left, top = (side - width) // 2, (side - height) // 2
        canvas = Image.new("RGB", (side, side))
        canvas.paste(image, (left, top))
        pixels = np.asarray(canvas.resize((size, size), Image.Resampling.BICUBIC))
        return FittedImage(pixels, (height, width), (-left, -top, side - left, side - top))
    # The parentheses are the public loader's: they decide which way a tie between two patch counts rounds.
    new_width, new_height = size, round(height * (size / width) / patch) * patch
    if mode == "pad" and height > width:
        new_width, new_height = round(width * (size / height) / patch) * patch, size
    if min(new_width, new_height) < patch:
        raise UserError(
            f"an image of {width} x {height} px becomes {new_width} x {new_height} in mode {mode!r}, less than one "
            f"patch of {patch}; crop it to a less extreme shape first"
        )
    pixels = np.asarray(image.resize((new_width, new_height), Image.Resampling.BICUBIC))
    fitted = FittedImage(pixels, (height, width), (0.0, 0.0, float(width), float(height)))
    if mode == "pad":
        return fitted.grown(size, size)
    if new_height > size:
        top = (new_height - size) // 2
        rows = height / new_height
        return FittedImage(
            pixels[top : top + size], (height, width), (0.0, top * rows, float(width), (top + size) * rows)
        )
    return fitted


def _same_size(fitted: Sequence[FittedImage]) -> Sequence[FittedImage]:
    shapes = sorted({f.pixels.shape[:2] for f in fitted})
    if len(shapes) == 1:
        return fitted
    height, width = max(h for h, _ in shapes), max(w for _, w in shapes)
    warnings.warn(
        f"images have {len(shapes)} different sizes after resizing (height x width: "
        f"{', '.join(f'{h} x {w}' for h, w in shapes[:4])}); all are padded with white to {height} x {width}",
        stacklevel=3,
    )
    return [f.grown(height, width) for f in fitted]


def _to_tensor(fitted: Sequence[FittedImage]) -> Tensor:
    pixels = torch.from_numpy(np.stack([f.pixels for f in fitted]))
    return pixels.permute(0, 3, 1, 2).contiguous().float().div_(255)
