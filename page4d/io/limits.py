"""How large a picture may be: one limit for every reader, asked of the header before any memory is taken.

A file's header costs a few bytes and can claim anything. What it claims is believed up to the largest pictures that
cameras make (200 megapixels), and beyond the usual ones only if the file is long enough to hold them.
"""

from __future__ import annotations

from page4d.schema import UserError

MAX_SIDE = 65_536
MAX_PIXELS = 1 << 28
# Up to here, 64 megapixels, a picture may be as empty as it likes: it costs 200 MB at most.
MODEST_PIXELS = 1 << 26
# The emptiest photograph has more than a byte for so many pixels, one of a covered lens included.
PIXELS_PER_BYTE = 200
# No deflated byte stands for more than 1032 bytes.
DEFLATE_RATIO = 1032


def check_pixels(width: int, height: int, name: str, file_bytes: int | None = None) -> None:
    """Refuse a picture by the size that its header claims.

    Raises:  UserError naming the picture if a side or the area is beyond the limits, or if the file is so short that
             it cannot be a photograph of that size.
    """
    pixels = width * height
    if width < 1 or height < 1:
        raise UserError(f"{name} claims {width} x {height} px; expected at least one pixel")
    if max(width, height) > MAX_SIDE or pixels > MAX_PIXELS:
        raise UserError(
            f"{name} is too large: {width} x {height} px, expected sides up to {MAX_SIDE} and at most "
            f"{MAX_PIXELS / 1e6:.0f} megapixels; shrink it first"
        )
    if file_bytes is not None and pixels > MODEST_PIXELS and pixels > PIXELS_PER_BYTE * file_bytes:
        raise UserError(
            f"{name} claims {width} x {height} px in {file_bytes} bytes, which no photograph fits into; "
            "it is damaged or made to fill memory"
        )


def check_png_claim(data: bytes, name: str) -> None:
    """Refuse a PNG whose header claims more than its bytes can hold; anything else passes.

    Raises:  UserError as `check_pixels`.
    """
    if len(data) < 26 or data[12:16] != b"IHDR":
        return
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    check_pixels(width, height, name, len(data))
    claimed = width * height * data[24] // 8
    if claimed > DEFLATE_RATIO * len(data):
        raise UserError(
            f"{name} claims {width} x {height} px in {len(data)} bytes, which cannot hold them; download it again"
        )
