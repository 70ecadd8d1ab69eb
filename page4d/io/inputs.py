"""What the user's words name: pictures, one film, folders, patterns that the shell left as they were.

Nothing is decoded here, so that a typing mistake is told before weights are fetched.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from page4d.io.images import named
from page4d.io.names import list_files, natural_key
from page4d.io.pictures import ImageSource, header_of
from page4d.io.suffixes import HEIC_SUFFIXES, RAW_SUFFIXES, is_video, missing_reader, picture_suffixes
from page4d.io.video import holds_film
from page4d.schema import UserError, notice

# Words in a name that say: not what the camera saw, but something about it.
_BESIDE = frozenset(
    {"depth", "depths", "disp", "disparity", "mask", "masks", "seg", "segmentation", "normal", "normals"}
)
_DEEP_SUFFIXES = frozenset({".png", ".pgm", ".tif", ".tiff", ".pfm"})
_PROBED = 16
_WANTED = "give images, folders of images, or one video"


def find_inputs(paths: ImageSource | Sequence[ImageSource]) -> list[ImageSource]:
    """The one video, or all pictures, that `paths` name; several folders are the cameras of one scene.

    Note:    a pattern such as `frames/*.jpg` is matched here if the shell did not do it. What a folder holds besides is
             told by a `Notice`.
    Raises:  UserError for nothing, a file that does not exist, a folder without pictures, or a video beside others.
    """
    single = isinstance(paths, (str, os.PathLike)) or not isinstance(paths, Sequence)
    given: list[ImageSource] = [paths] if single else list(paths)  # type: ignore[list-item, arg-type]
    found: list[ImageSource] = []
    for source in given:
        if isinstance(source, (str, os.PathLike)):
            for path in _matched(Path(source)):
                found += _files(path)
        else:
            found.append(source)
    if not found:
        raise UserError(f"no images given; {_WANTED}")
    films = [source for source in found if isinstance(source, Path) and is_film(source)]
    if films and len(found) > 1:
        raise UserError(f"{films[0]} is a video; give one video alone, or only images")
    return found


def is_film(source: ImageSource) -> bool:
    """Whether a file is a film, by its name or, where that says nothing, by its content."""
    if not isinstance(source, (str, os.PathLike)):
        return False
    path = Path(source)
    if is_video(path):
        return True
    known = picture_suffixes() | HEIC_SUFFIXES | RAW_SUFFIXES
    return path.suffix.lower() not in known and path.is_file() and not _is_picture(path) and holds_film(path)


def _is_picture(path: Path) -> bool:
    try:
        header_of(path)
    except UserError:
        return False
    return True


def _matched(path: Path) -> list[Path]:
    """The path itself, or the files that match it as a pattern."""
    try:
        if path.exists() or not glob.has_magic(str(path)):
            return [path]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {_WANTED}") from error
    found = sorted((Path(name) for name in glob.glob(str(path), recursive=True)), key=natural_key)
    if not found:
        raise UserError(f"no file matches {path}; {_WANTED}")
    return found


def _files(path: Path) -> list[Path]:
    """A file as it is, or what a folder holds."""
    try:
        if path.is_dir():
            return _of_folder(path)
        if not path.exists():
            if re.match(r"\w{2,}:/", str(path)):
                raise UserError(f"{path} is an address; download what it names first and give the file")
            raise UserError(f"{path} does not exist; {_WANTED}")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    return [path]


def _of_folder(folder: Path) -> list[Path]:
    """The pictures of a folder, or the one film in it, or what the one folder in it holds."""
    pictures = list_files(folder, picture_suffixes())
    unread = [path for path in list_files(folder, HEIC_SUFFIXES | RAW_SUFFIXES) if missing_reader(path) is not None]
    films = [path for path in _visible(folder) if path.is_file() and is_video(path)]
    _tell_what_is_no_file(folder)
    if pictures:
        return _told(folder, pictures, unread, films)
    if unread:
        raise UserError(f"{folder} holds {named([p.name for p in unread])} and no other: {missing_reader(unread[0])}")
    if len(films) == 1:
        notice(f"{folder} holds no picture but a film, {films[0].name}, which is taken")
        return films
    inside = [path for path in _visible(folder) if path.is_dir() and list_files(path, picture_suffixes())]
    if len(inside) == 1 and not films:
        notice(f"{folder} holds no picture itself; those of the one folder in it, {inside[0].name}, are taken")
        return _of_folder(inside[0])
    raise UserError(f"{folder} holds no image; {_other_ways(films or inside)}")


def _tell_what_is_no_file(folder: Path) -> None:
    """A picture behind a link that leads nowhere is a frame lost; pipes and folders of such names were none."""
    known = picture_suffixes() | HEIC_SUFFIXES | RAW_SUFFIXES
    named_so = [path for path in _visible(folder) if path.suffix.lower() in known or is_video(path)]
    broken = [path.name for path in named_so if not path.is_file()]
    if broken:
        notice(f"{named(broken)} of {folder} are left out: no files, but folders, pipes or links that lead nowhere")


def _visible(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural_key)


def _other_ways(found: list[Path]) -> str:
    if not found:
        common = " ".join(sorted(picture_suffixes() & {".jpg", ".png", ".tif", ".webp", ".avif", ".heic"}))
        return f"looked for {common} and all else that Pillow reads, then for one video or one folder of images in it"
    listed = ", ".join(path.name for path in found[:4]) + (", ..." if len(found) > 4 else "")
    if found[0].is_dir():
        return f"the folders in it do: {listed}; give these folders to take them as the cameras of one scene"
    return f"it holds {len(found)} videos: {listed}; give one of them"


def _told(folder: Path, pictures: list[Path], unread: list[Path], films: list[Path]) -> list[Path]:
    """The pictures that are the camera's; what lies beside them is told."""
    taken, beside = _apart(pictures)
    if beside:
        notice(
            f"{named([path.name for path in beside])} beside the others of {folder} are left out as depth maps or "
            "masks; name the files, or give a pattern of names, to choose otherwise"
        )
    if unread:
        notice(f"{named([path.name for path in unread])} of {folder} are left out: {missing_reader(unread[0])}")
    if films:
        notice(f"{folder}: the film {films[0].name} beside the pictures is left out; give it alone to take it")
    return taken


def _apart(pictures: list[Path]) -> tuple[list[Path], list[Path]]:
    """Pictures of the camera, and depth maps or masks beside them: by a word in the name, else by deep grey pixels."""
    beside = {path for path in pictures if _BESIDE & set(re.split(r"[^a-z]+", path.stem.lower()))}
    if not beside or len(beside) == len(pictures):
        candidates = [path for path in pictures if path.suffix.lower() in _DEEP_SUFFIXES]
        # Of thousands of files the first and last tell whether there are two kinds; only then all are asked.
        few = {*candidates[:_PROBED], *candidates[-_PROBED:]}
        beside = {path for path in candidates if _is_deep_grey(path)} if any(map(_is_deep_grey, few)) else set()
    if len(beside) == len(pictures):
        return pictures, []
    taken = [path for path in pictures if path not in beside]
    return taken, sorted(beside, key=natural_key)


def _is_deep_grey(path: Path) -> bool:
    try:
        _, mode, _ = header_of(path)
    except UserError:
        return False  # told when it is read
    return mode.startswith(("I", "F"))
