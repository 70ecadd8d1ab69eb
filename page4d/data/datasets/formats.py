"""Decoders of the file formats the datasets use; every one checks what it reads.

All return numpy arrays in the file's own unit; the loaders give them their meaning. A file that is missing, cut
short or of another kind raises UserError with its path.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from page4d.extras import extras_named
from page4d.io.pictures import open_header
from page4d.io.png import decode_grey16, decode_rgb, open_checked
from page4d.io.text_rows import text_lines, words_of
from page4d.places import bytes_of
from page4d.schema import MALFORMED, UserError

# Errors of zlib, struct and HDF5 come through as they are, and PIL stumbles over numbers of damaged headers.
_BROKEN = (
    *MALFORMED, OSError, SyntaxError, EOFError, UnidentifiedImageError, Image.DecompressionBombError, zlib.error,
    struct.error, RuntimeError, MemoryError,
)  # fmt: skip
# The largest grids are Spring's, 3840 x 2160; the largest tables CO3D's, 300 MB a category.
MAX_VALUES, MAX_TEXT_BYTES = 1 << 27, 1 << 30
# A byte of a PNG or TIFF stands for no more pixels: DEFLATE makes 1032 bytes of one, and a mask has 8 pixels a byte.
MOST_PACKED = 1 << 14


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn any failure to read `path` into a UserError that names it."""
    if not path.is_file():
        raise UserError(f"{path} is missing ({what}); check that the download was extracted completely")
    try:
        yield
    except UserError:
        raise
    except _BROKEN as error:
        raise UserError(f"{path} cannot be read as {what} ({error}); extract or download it again") from error


@contextmanager
def annotating(place: Path | str) -> Iterator[None]:
    """Turn whatever is wrong with what files say into a UserError that names the file, or the place they describe."""
    try:
        yield
    except UserError as error:
        if os.sep in str(error):
            raise
        raise UserError(f"{place}: {error}") from error  # of a part of a file, which does not know where it stands
    except MALFORMED as error:
        what = f"has no usable {error}" if isinstance(error, LookupError) else f"cannot be used ({error})"
        raise UserError(f"{place}: an entry {what}; download the annotations again") from error


@dataclass(frozen=True)
class MaskedPicture:
    """An 8-bit colour image (H, W, 3) RGB; `opaque` is bool (H, W), None where nothing shows through.

    Note:    transparent pixels are white, as everywhere that a network is shown pictures.
    """

    rgb: NDArray[np.uint8]
    opaque: NDArray[np.bool_] | None = None


def read_picture(path: Path) -> MaskedPicture:
    """An 8-bit colour image of any kind that PIL reads; EXIF rotation is not applied (K is of the file).

    Raises:  UserError also for 16-bit and float pixels: such a file may be a depth map.
    """
    with reading(path, "colour image"):
        data = bytes_of(path)
        pixels = decode_rgb(data, str(path))
        if pixels is not None:
            return MaskedPicture(pixels)
        with open_checked(data, str(path)) as image:
            if image.mode[0] in "IF":
                raise UserError(f"{path} has mode {image.mode}, expected an 8-bit picture; it may be a depth map")
            return _on_white(image)


def _on_white(image: Image.Image) -> MaskedPicture:
    if not image.has_transparency_data:
        return MaskedPicture(np.asarray(image.convert("RGB")))
    layers = image.convert("RGBA")
    white = Image.new("RGBA", layers.size, (255, 255, 255, 255))
    opaque = np.asarray(layers.getchannel("A")) > 127
    shown = Image.alpha_composite(white, layers).convert("RGB")
    return MaskedPicture(np.asarray(shown), None if opaque.all() else opaque)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """The colours of `read_picture`."""
    return read_picture(path).rgb


def read_png16(path: Path) -> NDArray[np.uint16]:
    """A 16-bit single-channel PNG as (H, W) uint16.

    Raises:  UserError also for an 8-bit or colour PNG: such a file is a picture of a depth map, not the depth map.
    """
    with reading(path, "16-bit PNG"):
        data = bytes_of(path)
        pixels = decode_grey16(data, str(path))
        if pixels is not None:
            return pixels
        with open_checked(data, str(path)) as image:
            if image.mode not in ("I;16", "I;16B", "I"):
                raise UserError(
                    f"{path} has mode {image.mode}, expected a 16-bit single-channel PNG; it is no depth map"
                )
            return np.asarray(image).astype(np.uint16)


def read_pgm16(path: Path) -> NDArray[np.uint16]:
    """A 16-bit binary PGM as (H, W), its values as they are (PIL would stretch them to the full range).

    Raises:  UserError for any other kind of file, one of 8 bits, or one that is cut short.
    """
    with reading(path, "16-bit PGM"):
        data = bytes_of(path)
        header = re.match(rb"P5(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)(?:\s+|#[^\n]*\n)+(\d+)\s", data)
        if header is None or int(header[3]) < 256:
            raise UserError(f"{path} is no binary PGM of 16 bits; it is no depth map")
        width, height = int(header[1]), int(header[2])
        values = np.frombuffer(data, ">u2", width * height, header.end())  # ValueError if there are fewer
        return values.reshape(height, width).astype(np.uint16)


def read_half_png(path: Path) -> NDArray[np.float32]:
    """A 16-bit PNG whose bits are IEEE half floats, as float32 (H, W)."""
    return read_png16(path).view(np.float16).astype(np.float32)


def _opened(path: Path) -> Image.Image:
    """An image after its header, before any pixel.

    Raises:  UserError if the header claims more pixels than the file can hold.
    """
    # Of bytes at hand, for PIL asks a file for as much as a chunk claims, and that much memory is then taken.
    data = bytes_of(path)
    size = len(data)
    image = open_header(io.BytesIO(data), str(path), size)
    if image.width * image.height > MOST_PACKED * size:
        image.close()
        raise UserError(f"{path} claims {image.width} x {image.height} pixels in {size} bytes; download it again")
    return image


def read_labels(path: Path) -> NDArray[np.int64]:
    """A label PNG: palette index or grey value as it is, colours packed as R + 256 G + 65536 B."""
    with reading(path, "label image"), _opened(path) as image:
        values = np.asarray(image.convert("RGB") if image.mode == "RGBA" else image).astype(np.int64)
    return values if values.ndim == 2 else values[..., 0] + 256 * values[..., 1] + 65536 * values[..., 2]


def read_objects(path: Path) -> tuple[NDArray[np.int64], bool]:
    """Object numbers (H, W) of a palette image, 0 = none; of any other image 1 where it is bright, and False.

    Raises:  UserError for a grey image without a bright pixel that is not all black: numbers without their palette.
    """
    with reading(path, "mask image"), _opened(path) as image:
        if image.mode == "P":
            return np.asarray(image).astype(np.int64), True
        grey = np.asarray(image.convert("L"))
    if 0 < grey.max() <= 127:
        raise UserError(f"{path} is grey with values up to {grey.max()}, expected a palette image, or black and white")
    return (grey > 127).astype(np.int64), False


def read_mask(path: Path) -> NDArray[np.bool_]:
    """An image as a mask: true where it is brighter than half its range (or set, for a 1-bit image)."""
    with reading(path, "mask image"), _opened(path) as image:
        return np.asarray(image.convert("L")) > 127


def read_tiff(path: Path) -> NDArray[np.float32] | NDArray[np.uint16]:
    """A single-channel TIFF: float32 as it is, integers as uint16.

    Raises:  UserError also for 8 bits and for other kinds of pictures: such a file shows a depth map, and is none.
    """
    with reading(path, "single-channel TIFF"), _opened(path) as image:
        if image.format != "TIFF" or image.mode in ("1", "L", "P"):
            raise UserError(f"{path} is a {image.format} of mode {image.mode}, expected a TIFF of 16 bits or floats")
        values = np.asarray(image)
    if values.ndim != 2:
        raise UserError(f"{path} has shape {values.shape}, expected one channel")
    return values.astype(np.float32) if values.dtype.kind == "f" else values.astype(np.uint16)


def read_hdf5(path: Path, key: str) -> NDArray[Any]:
    """One data set of an HDF5 file (.dsp5, .flo5)."""
    with extras_named(f"{path.suffix} (an HDF5 file)"):
        import h5py
    with reading(path, f"HDF5 file with {key!r}"), h5py.File(path, "r") as stored:
        values = stored.get(key)
        if not isinstance(values, h5py.Dataset):
            raise UserError(f"{path} holds {sorted(stored)}; expected a data set {key!r} that can be opened")
        if values.dtype.kind not in "fiu" or values.size > MAX_VALUES:
            raise UserError(
                f"{path}: {key} holds {values.dtype} {values.shape}; expected at most {MAX_VALUES:,} numbers"
            )
        return np.asarray(values)


def read_json(path: Path) -> Any:
    """A JSON file, gunzipped if its name ends in gz."""
    with reading(path, "JSON"):
        if not path.name.endswith("gz"):
            return json.loads(bytes_of(path))
        with gzip.open(path) as stream:
            data = stream.read(MAX_TEXT_BYTES + 1)
        if len(data) > MAX_TEXT_BYTES:
            raise UserError(f"{path} unpacks to more than {MAX_TEXT_BYTES:,} bytes; expected the JSON of a dataset")
        return json.loads(data)


def read_table(path: Path, columns: int) -> NDArray[np.float64]:
    """Numbers in rows of `columns`, blank or comma separated, # starts a comment.

    Raises:  UserError with the line if a row has another count or a word that is no number.
    """
    rows: list[list[float]] = []
    with reading(path, f"text table of {columns} columns"):
        lines = text_lines(path, "strict")
    for count, line in enumerate(lines, start=1):
        words = words_of(line.split("#", 1)[0], f"{path}, line {count}")
        if not words:
            continue
        try:
            rows.append([float(word) for word in words])
        except ValueError as error:
            raise UserError(f"{path}, line {count}: {error!s:.120}") from error
        if len(words) != columns:
            raise UserError(f"{path}, line {count}: {len(words)} numbers, expected {columns}")
    if not rows:
        raise UserError(f"{path} has no rows")
    return np.array(rows, np.float64)
