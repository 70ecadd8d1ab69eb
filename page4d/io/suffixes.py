"""Which files are pictures and which are films, by the lists that Pillow and PyAV keep themselves."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal

from page4d.schema import UserError

# Formats that Pillow names without decoding them, or that it hands to another program (PostScript runs code).
_NO_PICTURES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PALM", "PDF", "WMF"})
_ICONS = frozenset({"CUR", "ICNS", "ICO"})  # opened when named, never taken from a folder
HEIC_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
RAW_SUFFIXES = frozenset({".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf", ".pef", ".srw"})
# PyAV's names of the containers that hold pictures; their suffixes come from it, these of sound alone do not count.
_FILMS = (
    "mov", "mp4", "avi", "matroska", "webm", "asf", "flv", "f4v", "mpeg", "mpeg1video", "mpeg2video", "mpegts", "vob",
    "dvd", "svcd", "dv", "mxf", "ogv", "3gp", "3g2", "wtv", "gxf", "rm", "h264", "hevc", "ivf", "yuv4mpegpipe", "nut",
    "m4v", "ipod", "swf", "mjpeg",
)  # fmt: skip
_SOUND = frozenset({".isma", ".m4a", ".m4b", ".mka", ".mks", ".ra", ".wma"})


@cache
def heic_is_read() -> bool:
    """Whether Pillow reads HEIC here, which takes the package of the extra `heic`."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@cache
def picture_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that a picture may have."""
    from PIL import Image

    heic_is_read()
    Image.init()
    return tuple(sorted(set(Image.OPEN) - _NO_PICTURES))


@cache
def picture_suffixes() -> frozenset[str]:
    """Suffixes of pictures, in small letters with their point."""
    from PIL import Image

    wanted = (set(picture_formats()) | {"MPO"}) - _ICONS
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in wanted)


@cache
def film_suffixes() -> frozenset[str]:
    """Suffixes of films, in small letters with their point; one that pictures have too is a picture's."""
    from av import ContainerFormat

    found: set[str] = set()
    modes: tuple[Literal["r", "w"], ...] = ("r", "w")
    for name in _FILMS:
        for mode in modes:
            try:
                found |= ContainerFormat(name, mode).extensions
            except ValueError:  # this build reads it or writes it, not both
                continue
    dotted = {f".{suffix.strip().lower()}" for suffix in found}
    return frozenset(dotted - picture_suffixes() - HEIC_SUFFIXES - _SOUND)


def is_video(path: os.PathLike[str] | str) -> bool:
    """Whether the name says that a file is a film."""
    return Path(path).suffix.lower() in film_suffixes()


def missing_reader(path: Path) -> str | None:
    """What to do about a picture file that cannot be read here; None if its suffix says no such thing."""
    suffix = path.suffix.lower()
    if suffix in HEIC_SUFFIXES and not heic_is_read():
        return 'HEIC needs the package pillow-heif, which is not installed: pip install "page4d[heic]"'
    if suffix in RAW_SUFFIXES:
        return "camera raw files are not read; save them as JPEG or PNG first"
    return None


def check_readable(path: Path) -> None:
    """Refuse a file by its suffix if nothing here reads it.

    Raises:  UserError that says what would.
    """
    why = missing_reader(path)
    if why is not None:
        raise UserError(f"{path}: {why}")
