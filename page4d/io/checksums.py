"""SHA-256 of files and bytes: what names a download, a prepared file and a prediction's origin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

_BLOCK_BYTES = 1 << 24
_END_BYTES = 1 << 20


def short_digest(files: Iterable[Path]) -> str:
    """How many files and what they are, in a few words: by name, size, first and last megabyte of each, in order.

    Note:    enough to tell that a film or a folder is not the one it was; whole films would take minutes to read.
    """
    digest, count = hashlib.sha256(), 0
    for file in files:
        digest.update(ends_of(file, file.name, _END_BYTES))
        count += 1
    return f"{count} files, {digest.hexdigest()[:16]}"


def ends_of(file: Path, name: str, end_bytes: int) -> bytes:
    """What stands for a file without reading all of it: a name, its size, its first and last bytes."""
    size = file.stat().st_size
    known = f"{name}\0{size}\0".encode(errors="surrogateescape")
    with file.open("rb") as stream:
        first = stream.read(end_bytes)
        stream.seek(max(size - end_bytes, stream.tell()))
        return known + first + stream.read(end_bytes)


def sha256_of(source: Path | bytes, progress: bool = False) -> str:
    """SHA-256 in hexadecimal digits; `progress` shows a bar for a file that takes longer than a second."""
    digest = hashlib.sha256()
    if isinstance(source, bytes):
        digest.update(source)
        return digest.hexdigest()
    from tqdm import tqdm

    size = source.stat().st_size
    with (
        source.open("rb") as stream,
        tqdm(total=size, desc="sha256", unit="B", unit_scale=True, leave=False, delay=1, disable=not progress) as bar,
    ):
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()
