"""The book's diagrams: the network, its attention, its mask, the axes, the crop and the package's data flow.

Each function returns an SVG as text (see `page4d.viz.svg.Diagram`); counts come from the caller, so that a diagram of
a small network shows the small network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from page4d.viz.geometry_diagrams import axes_diagram, crop_diagram
from page4d.viz.svg import TIMES, WIDTH, Diagram, Drawing, Ink, Point


def network_diagram(
    depth: int = 24,
    mask_source: int = 9,
    masked_pairs: Sequence[int] = tuple(range(10, 20)),
    dpt_pairs: Sequence[int] = (4, 11, 17, 23),
    encoder: str = "DINOv2",
) -> Diagram:
    """The whole network from pictures to cameras, depth and points; the defaults are the released network's."""
    d = Drawing(WIDTH, 470)
    for index in range(3):
        _picture(d, (57.0 + 96 * index, 6.0), index)
    d.words((190, 70), "S frames", ink="muted")
    d.line([(190, 75), (190, 92)], arrow=True)
    d.box((40, 94), (300, 26))
    d.words((190, 111), f"patch encoder ({encoder})")
    for index in range(3):
        _tokens(d, (31.0 + 113 * index, 134.0))
    d.words((190, 162), "tokens: 1 camera, 4 registers, N patches per frame", ink="muted")
    d.line([(190, 167), (190, 184)], arrow=True)
    _ladder(d, 262, depth, mask_source, masked_pairs)
    _heads(d, 302, [_pair_x(pair, depth) for pair in dpt_pairs], _pair_x(depth - 1, depth))
    return d.done(
        f"Frames pass a patch encoder and {depth} pairs of frame and global attention; a mask head reads after frame "
        f"block {mask_source} and acts in global blocks {masked_pairs[0]} to {masked_pairs[-1]}; three heads read the "
        "tokens: depth, points and cameras."
    )


def _picture(d: Drawing, at: Point, index: int) -> None:
    """A small landscape with one thing that moves from frame to frame."""
    x, y = at
    d.box(at, (74, 50), fill=0.04)
    d.hills(at, (74, 50))
    d.dot((x + 18 + 16 * index, y + 42), 5, "mask")


def _tokens(d: Drawing, at: Point) -> None:
    for slot in range(13):
        corner = (at[0] + 7.0 * slot, at[1])
        ink: Ink = "frame" if slot < 5 else "text"
        strength = 0.9 if slot == 0 else 0.3 if slot < 5 else 0.12
        d.box(corner, (6, 12), ink, strength, 0.6, 1)


def _pair_x(pair: int, depth: int) -> float:
    return 26 + 328 * (pair + 0.5) / depth


def _ladder(d: Drawing, top: float, depth: int, source: int, masked: Sequence[int]) -> None:
    d.words((190, top - 64), f"{depth} pairs of blocks", strong=True)
    wide = 328 / depth
    for pair in range(depth):
        left = 26 + wide * pair
        d.box((left, top), (wide - 1.5, 17), "frame", 0.35, 0, 1)
        on = pair in masked
        d.box((left, top + 19), (wide - 1.5, 17), "mask" if on else "global", 0.75 if on else 0.35, 0, 1)
    # The mask head stands above the ladder: lines to the heads leave it below.
    first, last = _pair_x(masked[0], depth), _pair_x(masked[-1], depth)
    middle = (first + last) / 2
    d.box((middle - 52, top - 52), (104, 24), "mask", 0.12)
    d.words((middle, top - 36), "mask head")
    here = _pair_x(source, depth)
    d.line([(here, top), (here, top - 40), (middle - 53, top - 40)], "mask", arrow=True)
    d.line([(first, top - 6), (first, top - 12), (last, top - 12), (last, top - 6)], "mask")
    d.line([(middle, top - 28), (middle, top - 13)], "mask", arrow=True)
    d.words((26, top - 8), "frame", anchor="start", ink="frame")
    d.words((26, top + 51), "global", anchor="start", ink="global")


def _heads(d: Drawing, top: float, pairs: Sequence[float], last: float) -> None:
    bus = top + 26
    for x in pairs:
        d.line([(x, top - 2), (x, bus)])
        d.dot((x, bus), 2)
    d.line([(min(76, *pairs), bus), (max(pairs), bus)])
    d.line([(76, bus), (76, bus + 22)], arrow=True)
    d.line([(190, bus), (190, bus + 22)], arrow=True)
    d.line([(last, top - 2), (last, bus + 22)], "frame", arrow=True)
    says = {
        "depth head": ("depth", "confidence", "exp, 1 + exp"),
        "point head": ("points", "confidence", "in camera 0"),
        "camera head": ("t, q, field of view", "of every frame", "4 iterations"),
    }
    for index, (name, lines) in enumerate(says.items()):
        x = 76.0 + 114 * index
        ink: Ink = "frame" if index == 2 else "text"
        d.box((x - 52, bus + 24), (104, 28), ink)
        d.words((x, bus + 42), name, strong=True)
        for row, line in enumerate(lines):
            d.words((x, bus + 72 + 16 * row), line, 11.5, ink="muted" if row else "text")


def attention_diagram(frames: int = 3) -> Diagram:
    """Which tokens see which: frame attention stays inside a frame, global attention spans all frames."""
    d = Drawing(WIDTH, 292)
    per_frame, side = 6, 146.0
    cell = side / (frames * per_frame)
    titles: list[tuple[Ink, float, str, str]] = [
        ("frame", 46, "frame attention", f"S matrices of P {TIMES} P"),
        ("global", 226, "global attention", f"1 matrix of SP {TIMES} SP"),
    ]
    for ink, left, title, count in titles:
        d.words((left + side / 2, 16), title, ink=ink, strong=True)
        for frame in range(frames):
            for other in range(frames):
                sees = ink == "global" or frame == other
                _frame_block(d, (left + other * per_frame * cell, 30 + frame * per_frame * cell), cell, ink, sees)
        d.words((left + side / 2, 192), "keys", 11.5, ink="muted")
        d.words((left + side / 2, 212), count)
    for frame in range(frames):
        d.words((40, 34 + (frame + 0.5) * per_frame * cell), f"{frame}", 11.5, "end", "muted")
    d.words((22, 103), "queries of frame", 11.5, ink="muted", turned=True)
    _chain(d, 236)
    return d.done(
        "Two attention matrices side by side. In frame attention only the blocks on the diagonal are filled: a frame's "
        "tokens see that frame. In global attention all blocks are filled. Both alternate."
    )


def _frame_block(d: Drawing, corner: Point, cell: float, ink: Ink, sees: bool) -> None:
    side = 6 * cell
    d.box(corner, (side, side), "muted", 0, 0.7, 0)
    if not sees:
        return
    for row in range(6):
        for column in range(6):
            # Special tokens come first in a frame and are drawn darker.
            strength = 0.6 if row < 2 or column < 2 else 0.3
            _square(d, (corner[0] + column * cell, corner[1] + row * cell), cell, ink, strength)


def _chain(d: Drawing, top: float) -> None:
    inks: list[Ink] = ["frame", "global", "frame", "global"]
    for index, ink in enumerate(inks):
        left = 20.0 + 82 * index
        d.box((left, top), (62, 26), ink, 0.2)
        d.words((left + 31, top + 17), ink)
        d.line([(left + 63, top + 13), (left + 80, top + 13)], arrow=True)
    d.words((358, top + 17), "...", strong=True)
    d.words((190, top + 47), "each pair's two outputs are read side by side", 11.5, ink="muted")


_MASK_EXAMPLE = ((0.1, 0.2, -0.45, 0.15, 0.05), (0.15, 0.1, -0.3, -0.45, 0.2), (0.05, 0.2, 0.15, -0.5, 0.1))


def mask_diagram(m: Sequence[Sequence[float]] = _MASK_EXAMPLE, special: int = 2) -> Diagram:
    """What the mask adds to the attention logits: special rows times patch columns, nothing anywhere else.

    Shapes:  m, one row of patch values a frame, in (-0.5, 0.5); `special` is how many special tokens are drawn.
    """
    d = Drawing(WIDTH, 410)
    per_frame = special + len(m[0])
    cell, left, top = 270 / (per_frame * len(m)), 84.0, 92.0
    columns = _columns(m, special)
    d.words((left + 135, 16), "keys: m of every patch", ink="muted")
    _bars(d, (left, 55), cell, columns)
    for row in range(len(columns)):
        changed = row % per_frame < special
        for column, value in enumerate(columns):
            at = (left + column * cell, top + row * cell)
            _square(d, at, cell, "muted", 0.1)
            if changed and value is not None:
                _square(d, at, cell, _sign_ink(value), min(1.0, 0.25 + 1.5 * abs(value)))
    _mask_rows(d, top, cell, len(m), special)
    legend: list[tuple[Ink, str]] = [
        ("frame", "m < 0: pose tokens attend less"),
        ("mask", "m > 0: pose tokens attend more"),
    ]
    for row, (ink, words) in enumerate(legend):
        d.box((left, 372.0 + 18 * row), (12, 12), ink, 0.9, 0, 1)
        d.words((left + 20, 382.0 + 18 * row), words, anchor="start")
    return d.done(
        "An attention matrix of three frames. Only cells in the rows of camera and register tokens and the columns of "
        "patches are coloured: there the mask adds 64 alpha m to the logit. All other cells stay as they were."
    )


def _columns(m: Sequence[Sequence[float]], special: int) -> list[float | None]:
    columns: list[float | None] = []
    for frame in m:
        columns += [None] * special
        columns += list(frame)
    return columns


def _sign_ink(value: float) -> Ink:
    # Blue below 0 and a warm colour above, as in the maps of m.
    return "mask" if value > 0 else "frame"


def _square(d: Drawing, at: Point, cell: float, ink: Ink, strength: float) -> None:
    d.box((at[0] + 0.5, at[1] + 0.5), (cell - 1, cell - 1), ink, strength, 0, 0)


def _bars(d: Drawing, at: Point, cell: float, columns: Sequence[float | None]) -> None:
    """The values as bars that stand on a line or hang from it."""
    left, base = at
    d.line([at, (left + cell * len(columns), base)], "muted", 0.8)
    for index, value in enumerate(columns):
        if value is not None:
            high = 60 * abs(value)
            top = base - high if value > 0 else base
            d.box((left + index * cell + 1.5, top), (cell - 3, high), _sign_ink(value), 0.9, 0, 0)


def _mask_rows(d: Drawing, top: float, cell: float, frames: int, special: int) -> None:
    pitch = 270 / frames
    for frame in range(frames):
        first, after = top + frame * pitch + 1, top + frame * pitch + special * cell - 1
        d.line([(80, first), (76, first), (76, after), (80, after)])
        d.words((72, (first + after) / 2 + 4), "special", 11.5, "end")
        middle = (after + top + (frame + 1) * pitch) / 2
        d.words((72, middle + 4), "patches", 11.5, "end", "muted")
    d.words((14, top + 135), "queries", ink="muted", turned=True)


_FLOW: tuple[tuple[str, str, str], ...] = (
    ("raw download", "", "prepare"),
    ("benchmark folder", "pictures, depth, poses", "data"),
    ("Clip", "tensors with their truth", "predict"),
    ("Prediction", ".npz: depth, cameras, hashes", "score"),
    ("Scores", ".json: every item, its weights", "tables, viz"),
    ("figure, table", "", "book"),
    ("this page", "", ""),
)


def data_flow_diagram() -> Diagram:
    """How data pass through the package: a file stands between every two stages."""
    pitch = 70.0
    d = Drawing(WIDTH, pitch * len(_FLOW) - 22)
    for index, (name, holds, stage) in enumerate(_FLOW):
        top = 4 + pitch * index
        _document(d, (92, top), (196, 40), holds, name)
        if stage:
            d.line([(190, top + 41), (190, top + pitch - 2)], arrow=True)
            d.words((200, top + 59), stage, 11.5, "start", "frame" if stage == "predict" else "text", code=True)
    gpu = 4 + pitch * 2 + 59
    d.words((86, gpu), "needs a GPU", 11.5, "end", "frame")
    d.line([(44, gpu + 10), (44, 4 + pitch * 7 - 34)], "muted", 1, arrow=True)
    d.words((34, gpu + 140), "runs on a laptop", 11.5, ink="muted", turned=True)
    return d.done(
        "Raw download, benchmark folder, Clip, Prediction, Scores, figure and page stand under each other; prepare, "
        "data, predict, score, tables and book lead from each to the next. Only predict needs a GPU."
    )


def _document(d: Drawing, at: Point, size: Point, holds: str, name: str) -> None:
    x, y = at
    w, h = size
    fold = 9.0
    crease: list[Point] = [(x + w - fold, y), (x + w, y + fold)]
    d.area([(x, y), *crease, (x + w, y + h), (x, y + h)], "text", 0.06, 1)
    d.line([crease[0], (x + w - fold, y + fold), crease[1]])
    d.words((x + w / 2, y + (18 if holds else 25)), name, strong=True)
    if holds:
        d.words((x + w / 2, y + 33), holds, 11, ink="muted")


def logo(name: str = "Page4D", colour: str | None = None) -> Diagram:
    """Three frames of a film in which one thing moves, with the name beside it; an empty name leaves the mark alone.

    Note:  a page gives the colours; a file of its own, which no page reaches, can be given one for its lines.
    """
    d = Drawing(64 + (136 if name else 0), 64, widest_px=240 if name else 64)
    for index in range(3):
        left, top = 6.0 + 11 * index, 8.0 + 6 * index
        corners: list[Point] = [(left, top + 8), (left + 30, top), (left + 30, top + 28), (left, top + 36)]
        d.area(corners, "frame", 0.12 + 0.1 * index, 2)
        d.dot((left + 5 + 8 * index, top + 22 - 3 * index), 3.6, "mask")
    if name:
        d.words((72, 42), name, 30, "start", strong=True)
    return d.done(name or "three frames in which one thing moves", colour)


DIAGRAMS: dict[str, Callable[[], Diagram]] = {
    "network": network_diagram,
    "attention": attention_diagram,
    "mask": mask_diagram,
    "axes": axes_diagram,
    "crop": crop_diagram,
    "data-flow": data_flow_diagram,
}
