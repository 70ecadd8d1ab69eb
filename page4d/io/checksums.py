"""SHA-256 of files and bytes: what names a download, a prepared file and a prediction's origin."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK_BYTES = 1 << 24


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
