"""Pictures of the built book: large ones become lighter files of the same pixels, and pages name what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from page4d.book import weight

PAGE = '<a href="_images/large.png"><img src="_images/large.png"></a><img src="_images/small.png">'


def test_large_pictures_keep_their_pixels_and_lose_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "_images"
    images.mkdir()
    y, x = np.mgrid[:120, :160]
    pixels = np.stack((x % 251, y, (x * y) % 255, 255 - x), -1).astype(np.uint8)
    Image.fromarray(pixels).save(images / "large.png", compress_level=0)
    Image.fromarray(pixels[:4, :4]).save(images / "small.png")
    monkeypatch.setattr(weight, "LARGE_BYTES", 10_000)
    (tmp_path / "page.html").write_text(PAGE)
    weight.shrink_pictures(tmp_path)
    assert sorted(path.name for path in images.iterdir()) == ["large.webp", "small.png"]
    assert (tmp_path / "page.html").read_text() == PAGE.replace("large.png", "large.webp")
    assert np.array_equal(np.asarray(Image.open(images / "large.webp")), pixels)


def test_a_picture_that_would_grow_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "_images"
    images.mkdir()
    Image.new("1", (64, 64)).save(images / "plain.png")
    monkeypatch.setattr(weight, "LARGE_BYTES", 0)
    monkeypatch.setattr(Image.Image, "save", lambda _, path, **__: Path(path).write_bytes(bytes(10_000)))
    (tmp_path / "page.html").write_text("_images/plain.png")
    weight.shrink_pictures(tmp_path)
    assert [path.name for path in images.iterdir()] == ["plain.png"]
    assert (tmp_path / "page.html").read_text() == "_images/plain.png"
