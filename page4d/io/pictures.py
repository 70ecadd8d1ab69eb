"""One picture file as 8-bit RGB, with what was done to it: rotation, transparency, deep pixels, pages left aside."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from page4d.io.limits import MODEST_PIXELS, check_pixels
from page4d.io.suffixes import check_readable, picture_formats
from page4d.schema import UserError

ImageSource = Image.Image | os.PathLike[str] | str
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
# A 12-bit camera's values in a 16-bit file reach no further; a true 16-bit picture so dark is black to the eye.
_MAX_12_BITS = 4095
# Of a picture decoded at a fraction of its size the shorter side keeps at least so many pixels.
_DRAFT_SIDE = 2048
_ORIENTATION = 0x0112  # EXIF's tag of how the camera was held, and its values for a quarter turn
_LYING = (5, 6, 7, 8)
_TIFF_WIDTH = 0x0100
# The first bytes of zip, gzip, 7z, rar, xz and bzip2.
_ARCHIVES = (b"PK\3\4", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ", b"BZh")
_DAMAGE = (struct.error, zlib.error)  # come through PIL as they are
_opening = threading.RLock()


@dataclass(frozen=True)
class Page:
    """One page or frame of a picture file that holds several."""

    path: Path
    number: int

    @property
    def name(self) -> str:
        """A name for this page alone, as frames of a film have."""
        return f"{self.path.stem}_{self.number:06d}"


@dataclass(frozen=True)
class Picture:
    """One picture, and what was done to it.

    Shapes:  opaque (h, w) of `rgb`, None where nothing is transparent.
    Note:    `size_wh` is the file's own size after rotation, larger than that of `rgb` where a huge photograph was
             decoded at a fraction; `bits` is 8, or of deeper pixels the range they were taken to have; `pages` counts
             the pages or frames of the file, of which this is one.
    """

    rgb: Image.Image
    size_wh: tuple[int, int]
    opaque: NDArray[np.bool_] | None = None
    bits: int = 8
    pages: int = 1


def open_rgb(source: ImageSource, rotate: bool = True) -> Image.Image:
    """Open one image as 8-bit RGB in full size: EXIF rotation applied if `rotate`, transparency on white, deep pixels
    scaled to 8 bits.

    Raises:  UserError as `open_picture`.
    """
    return open_picture(source, rotate, whole=True).rgb


def open_picture(
    source: ImageSource | Page, rotate: bool = True, bits: int | None = None, whole: bool = False
) -> Picture:
    """Open one picture; a JPEG beyond 64 megapixels is decoded at a fraction of its size unless it is wanted `whole`.

    Note:    16-bit pixels are scaled from `bits` to 8; without `bits` values below 4096 are taken as 12 bits.
    Raises:  UserError naming the file if it is missing, empty, no image, cut short, too large or has float pixels.
    """
    if isinstance(source, Image.Image):
        check_pixels(*source.size, "the given image")
        return _as_picture(source, None, "the given image", bits)
    path, page = (source.path, source.number) if isinstance(source, Page) else (Path(source), 0)
    with opened(path) as image:
        pages = _pages(image)
        if page:
            image.seek(page)
        width, height = image.size
        check_pixels(width, height, str(path))
        if width * height > MODEST_PIXELS and not whole:
            _draft(image)
        is_deep = _is_deep_colour(image)  # asked first, for a PNG is decoded where its rotation is looked for
        turn = image.getexif().get(_ORIENTATION, 1) if rotate else 1
        deep_colour = path if is_deep and turn == 1 else None
        lies = rotate and _lies(image)
        image.load()
        upright = ImageOps.exif_transpose(image) if rotate else image
        picture = _as_picture(upright, deep_colour, str(path), bits)
    size = (height, width) if lies else (width, height)
    return Picture(picture.rgb, size, picture.opaque, picture.bits, pages)


def header_of(path: Path) -> tuple[tuple[int, int], str, int]:
    """Size (width, height), pixel mode and number of pages of a picture file, from its header alone.

    Raises:  UserError as `open_picture`.
    """
    with opened(path) as image:
        return image.size, image.mode, _pages(image)


def _pages(image: Any) -> int:
    """How many pages or frames; previews and brightness maps behind a photograph, which have other sizes, are none."""
    count, size = int(getattr(image, "n_frames", 1)), image.size
    if image.format != "MPO":
        return count
    for number in range(1, count):
        image.seek(number)
        if image.size != size:
            count = number
            break
    image.seek(0)
    return count


def upright_size(path: Path) -> tuple[int, int]:
    """Size (width, height) of a picture as `open_picture` gives it, held as the camera was.

    Raises:  UserError as `open_picture`.
    """
    with opened(path) as image:
        width, height = image.size
        return (height, width) if _lies(image) else (width, height)


def _lies(image: Any) -> bool:
    """Whether the size in the header is of a picture still to be turned; of TIFF newer Pillows say that behind it."""
    if image.getexif().get(_ORIENTATION, 1) not in _LYING:
        return False
    return bool(image.format != "TIFF" or image.width == image.tag_v2.get(_TIFF_WIDTH))


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file as PIL has it after the header, within our limits; whatever is wrong with it in one line."""
    check_file(path)
    check_readable(path)
    try:
        with open_header(path, str(path), path.stat().st_size) as image:
            yield image
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is {_kind(path)}") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} is too large: {error}; shrink it first") from error
    except UserError:
        raise
    # Decoders meet damage in many ways; each of these was seen from one of Pillow's plugins.
    except (*_DAMAGE, OSError, SyntaxError, EOFError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise UserError(f"{path} cannot be read as an image, it may be cut short: {error}") from error
    except (AttributeError, ZeroDivisionError, RuntimeError, MemoryError, AssertionError, NotImplementedError) as error:
        raise UserError(f"{path} cannot be read as an image, it is damaged: {error!r}") from error


def _kind(path: Path) -> str:
    """What a file is that is no picture, in words, by its first bytes."""
    with path.open("rb") as stream:
        head = stream.read(8)
    if head.startswith(_ARCHIVES):
        return "an archive; unpack it and give the folder"
    return "not an image that Pillow can read, whatever its name says"


def open_header(source: Path | IO[bytes], name: str, file_bytes: int) -> Image.Image:
    """An image as PIL has it after its header, if it is within our limits.

    Raises:  UserError for a size beyond them; those of PIL for all that is wrong with a file.
    """
    with _limits_of_ours():
        image = Image.open(source, formats=picture_formats())
    try:
        check_pixels(*image.size, name, file_bytes)
    except UserError:
        image.close()
        raise
    return image


def check_file(path: Path) -> None:
    """Refuse what is no file with something in it.

    Raises:  UserError for a folder, a device, a missing or an empty file.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; give the folder alone or a list of image files")
        if not path.exists():
            raise UserError(f"{path} does not exist; give image files, a folder of images or one video")
        if not path.is_file():
            raise UserError(f"{path} is no plain file but a device or pipe; copy its content into a file first")
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes); copy it again or leave it out")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check its permissions") from error


@contextmanager
def _limits_of_ours() -> Iterator[None]:
    """PIL's own limit refuses 200-megapixel photographs; ours is asked instead, as soon as the header is read."""
    with _opening:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _draft(image: Any) -> None:
    """Have a JPEG decoded at a half, a quarter or an eighth; other formats know no such thing."""
    if image.format in ("JPEG", "MPO"):
        share = _DRAFT_SIDE / min(image.size)
        image.draft(image.mode, (round(image.width * share), round(image.height * share)))


def _is_deep_colour(image: Any) -> bool:
    """Whether PIL would keep only the upper 8 of 16 bits a colour."""
    raw = image.tile[0][3] if getattr(image, "tile", None) else None
    name = raw[0] if isinstance(raw, tuple) and raw else raw
    return image.mode in ("RGB", "RGBA") and isinstance(name, str) and ";16" in name


def _as_picture(image: Image.Image, deep_colour: Path | None, name: str, bits: int | None) -> Picture:
    if image.mode == "F":
        raise UserError(f"{name} has floating-point pixels, whose range is unknown; save it as 8- or 16-bit image")
    if image.mode.startswith("I"):
        return _from_deep_grey(image, name, bits)
    if deep_colour is not None:
        picture = _from_deep_colour(image, deep_colour, bits)
        if picture is not None:
            return picture
    opaque = None
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = image.convert("RGBA")
        opaque = _opaque(image)
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return Picture(image.convert("RGB"), image.size, opaque, 16 if deep_colour is not None else 8)


def _opaque(image: Image.Image) -> NDArray[np.bool_] | None:
    opaque = np.asarray(image.getchannel("A")) >= 128
    return None if opaque.all() else opaque


def _from_deep_grey(image: Image.Image, name: str, bits: int | None) -> Picture:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"{name} has values {values.min()} to {values.max()}, expected 0 to 65535 for a 16-bit image")
    taken = bits or _bits_of(int(values.max()))
    grey = Image.fromarray(_to_8_bits(values, taken))
    return Picture(grey.convert("RGB"), image.size, None, taken)


def _from_deep_colour(image: Image.Image, path: Path, bits: int | None) -> Picture | None:
    """16-bit colour of which PIL's upper halves hold next to nothing, or whose range is given; None if PIL's will do.

    Note:    read a second time by OpenCV, which keeps 16 bits and leaves a picture as it lies in the file.
    """
    darkest = np.asarray(image)[..., :3].max(initial=0) <= _MAX_12_BITS >> 8
    if not darkest and bits in (None, 16):
        return None
    import cv2

    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    stored: Any = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
    if stored is None or stored.dtype != np.uint16 or stored.shape[:2] != (image.height, image.width):
        return None
    colour = stored[..., 2::-1]
    taken = bits or _bits_of(int(colour.max(initial=0)))
    return Picture(Image.fromarray(_to_8_bits(colour.astype(np.int64), taken)), image.size, None, taken)


def _bits_of(largest: int) -> int:
    return 12 if 0 < largest <= _MAX_12_BITS else 16


def _to_8_bits(values: NDArray[np.int64], bits: int) -> NDArray[np.uint8]:
    """Values of so many bits rounded to 8; PIL's own conversion clips at 255, which turns nearly everything white."""
    largest = (1 << bits) - 1
    return np.minimum((values * 255 + largest // 2) // largest, 255).astype(np.uint8)
