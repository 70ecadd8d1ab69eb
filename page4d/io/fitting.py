"""One picture made to fit the network, with a record of what was cut or added.

Three ways of fitting, all with PIL's bicubic filter (which antialiases when shrinking):

    crop     width becomes `size`, height follows in whole patches; of a taller image the middle `size` rows are kept
    pad      the longer side becomes `size`, the other follows in whole patches; white borders make it square
    square   black borders make the original square, which is then resized to `size`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from page4d.schema import UserError

Mode = Literal["crop", "pad", "square"]
MODES: tuple[Mode, ...] = ("crop", "pad", "square")
# What the released networks were trained with: width in pixels, and the patch that sides are multiples of.
RELEASED_SIZE, RELEASED_PATCH = 518, 14
CUT_TOLD = 0.02  # a smaller share of the height goes with every fit to whole patches
_STANDING = 64  # a picture so many times as high as wide is a line, and would be resized to no end
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class FittedImage:
    """One resized image and the window of the original that it shows.

    Shapes:  pixels (H, W, 3) uint8; kept (H, W), None where every pixel counts.
    """

    pixels: NDArray[np.uint8]
    original_hw: tuple[int, int]
    box: Box
    kept: NDArray[np.bool_] | None = None

    @property
    def cut_share(self) -> float:
        """The share of the original's height that is not shown."""
        height = self.original_hw[0]
        shown = min(self.box[3], height) - max(self.box[1], 0)
        return 1 - shown / height

    def grown(self, height: int, width: int) -> FittedImage:
        """The same image in the middle of a larger white one; an odd pixel goes to the bottom and the right."""
        h, w = self.pixels.shape[:2]
        top, left = (height - h) // 2, (width - w) // 2
        inside = slice(top, top + h), slice(left, left + w)
        canvas = np.full((height, width, 3), 255, np.uint8)
        canvas[inside] = self.pixels
        kept = None
        if self.kept is not None:
            kept = np.ones((height, width), np.bool_)
            kept[inside] = self.kept
        x0, y0, x1, y1 = self.box
        sx, sy = (x1 - x0) / w, (y1 - y0) / h
        x0, y0 = x0 - left * sx, y0 - top * sy
        return FittedImage(canvas, self.original_hw, (x0, y0, x0 + width * sx, y0 + height * sy), kept)

    def without(self, left_out: NDArray[np.bool_]) -> FittedImage:
        """The same image, less the pixels of the original that are left out; (h, w) of any size, over all of it."""
        height, width = self.pixels.shape[:2]
        x0, y0, x1, y1 = self.box
        rows = _lines_under(y0, y1, height, self.original_hw[0], left_out.shape[0])
        columns = _lines_under(x0, x1, width, self.original_hw[1], left_out.shape[1])
        kept = ~left_out[rows][:, columns]
        return replace(self, kept=kept if self.kept is None else kept & self.kept)


def _lines_under(begin: float, end: float, count: int, original: int, stored: int) -> NDArray[np.int64]:
    """Which of `stored` rows over an original of so many lies under the centre of each of `count` fitted ones."""
    centres = begin + (np.arange(count) + 0.5) * (end - begin) / count
    return np.clip(np.floor(centres * stored / original), 0, stored - 1).astype(np.int64)


def check_fit(mode: str, size: int, patch: int) -> None:
    """Refuse a way of fitting that there is not, and a size that no whole patches fill.

    Raises:  UserError.
    """
    if mode not in MODES:
        raise UserError(f"mode is {mode!r}, expected one of {', '.join(MODES)}")
    if patch < 1 or size < patch or size % patch:
        raise UserError(f"size {size} is not a positive multiple of the patch size {patch}")


def fitted_wh(width: int, height: int, mode: Mode, size: int, patch: int) -> tuple[int, int]:
    """Width and height that an image is resized to, before rows are cut or borders added.

    Raises:  UserError if it is so long and thin that one side has no whole patch, or the other no end.
    """
    if mode == "square":
        shown = min(width, height) * size / max(width, height)
        if shown < 1:
            raise UserError(
                f"of an image of {width} x {height} px less than one line is seen at {size} x {size} px in mode "
                "'square'; crop it to a less extreme shape first"
            )
        return size, size
    # The parentheses are the public loader's: they decide which way a tie between two patch counts rounds.
    new_width, new_height = size, round(height * (size / width) / patch) * patch
    if mode == "pad" and height > width:
        new_width, new_height = round(width * (size / height) / patch) * patch, size
    if min(new_width, new_height) < patch or new_height > _STANDING * size:
        raise UserError(
            f"an image of {width} x {height} px becomes {new_width} x {new_height} in mode {mode!r}, less than one "
            f"patch of {patch}, or a line; crop it to a less extreme shape first"
        )
    return new_width, new_height


def fit_image(
    image: Image.Image, mode: Mode, size: int, patch: int, original_wh: tuple[int, int] | None = None
) -> FittedImage:
    """Resize one RGB image by the rule of `mode` (see the top of this file) and note which part of it is shown.

    Note:    `original_wh` is the size of the file where `image` was decoded at a fraction of it.
    Raises:  UserError as `fitted_wh`.
    """
    width, height = original_wh or image.size
    new_width, new_height = fitted_wh(width, height, mode, size, patch)
    if mode == "square":
        return _in_square(image, size, (width, height))
    pixels = np.asarray(image.resize((new_width, new_height), Image.Resampling.BICUBIC))
    fitted = FittedImage(pixels, (height, width), (0.0, 0.0, float(width), float(height)))
    if mode == "pad":
        return fitted.grown(size, size)
    if new_height > size:
        top = (new_height - size) // 2
        rows = height / new_height
        box = (0.0, top * rows, float(width), (top + size) * rows)
        return FittedImage(pixels[top : top + size], (height, width), box)
    return fitted


def _in_square(image: Image.Image, size: int, original_wh: tuple[int, int]) -> FittedImage:
    side = max(image.size)
    left, top = (side - image.width) // 2, (side - image.height) // 2
    canvas = Image.new("RGB", (side, side))
    canvas.paste(image, (left, top))
    pixels = np.asarray(canvas.resize((size, size), Image.Resampling.BICUBIC))
    width, height = original_wh
    sx, sy = width / image.width, height / image.height
    box = (-left * sx, -top * sy, (side - left) * sx, (side - top) * sy)
    return FittedImage(pixels, (height, width), box)
