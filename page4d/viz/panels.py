"""Contact sheets and single panels in matplotlib: pictures, depth, masks, flow, with units and colour bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from page4d.result.cloud import unit_of
from page4d.schema import Clip, Prediction, UserError
from page4d.viz.depth_colours import DEPTH_COLOURS, HOLE, depth_norm, depth_ticks

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Row:
    """One row of a contact sheet: `images` (S, H, W) values, (S, H, W, 3) pictures or (S, H, W, 2) flow.

    Values are depth, in the colours that depth has everywhere, unless another `cmap` is named.
    `limits` are shared by the whole row, so that colours mean the same in every frame; None takes the range from
    the data (2nd to 98th percentile of what is finite and not masked out). Masked-out pixels are drawn in `hole`.
    """

    images: Sequence[Array] | Array
    label: str
    unit: str = ""
    cmap: str = DEPTH_COLOURS
    limits: tuple[float, float] | None = None
    valid: Sequence[Array] | Array | None = None
    hole: str = HOLE


def contact_sheet(rows: Sequence[Row], titles: Sequence[str] | None = None, width_in: float = 9.0) -> Figure:
    """Rows of aligned panels, one column per frame, with one colour bar for each row of values.

    Note:    a row of zeros and ones has no bar: there is nothing between its two colours.
    Raises:  UserError if a row is empty or the rows differ in their number of frames.
    """
    counts = {len(row.images) for row in rows}
    if len(counts) != 1 or 0 in counts:
        raise UserError(f"a contact sheet needs rows of equal length, got {[len(r.images) for r in rows]} frames")
    n = counts.pop()
    height, width = np.asarray(rows[0].images[0]).shape[:2]
    # Words at the left take a third of an inch, bars at the right two more; a row needs little air above it.
    across = (width_in - (1.05 if any(_has_bar(row) for row in rows) else 0.35)) / n
    tall = (across * height / width + 0.1) * len(rows) + 0.3
    figure, axes = plt.subplots(len(rows), n, figsize=(width_in, max(tall, 1.4)), squeeze=False, layout="constrained")
    for row, line in zip(rows, axes, strict=True):
        shown = [_panel(axis, row, i) for i, axis in enumerate(line)]
        line[0].set_ylabel(row.label, fontsize=10)
        if _has_bar(row):
            # Without panchor a row with a bar would be pushed to the right of a row without one.
            bar = figure.colorbar(shown[-1], ax=line.tolist(), pad=0.01, fraction=0.03, aspect=14, panchor=False)
            bar.set_label(row.unit, fontsize=9)
            bar.ax.tick_params(labelsize=8.5)
            if row.cmap == DEPTH_COLOURS:
                ticks = depth_ticks(row.limits or _range(row))
                bar.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
    for axis, title in zip(axes[0], titles or [f"frame {i}" for i in range(n)], strict=True):
        axis.set_title(title, fontsize=10)
    return figure


def _has_bar(row: Row) -> bool:
    """Whether the colours of a row need a bar; a yes or no for every pixel needs none."""
    binary = all(np.isin(np.asarray(image), (0, 1)).all() for image in row.images)
    return np.asarray(row.images[0]).ndim == 2 and not binary


def _panel(axis: Axes, row: Row, i: int) -> AxesImage:
    image: NDArray[Any] = np.asarray(row.images[i])
    axis.set_xticks([])
    axis.set_yticks([])
    # A picture ends where it ends; lines along two of its four sides would look like a cut-off axis.
    axis.spines[:].set_visible(False)
    axis.set_anchor("W")
    if image.ndim == 3:
        shown: AxesImage = axis.imshow(flow_colours(image, _flow_reach(row)) if image.shape[-1] == 2 else image)
        return shown
    low, high = row.limits or _range(row)
    cmap = plt.get_cmap(row.cmap).with_extremes(bad=row.hole)
    hidden = ~np.isfinite(image.astype(np.float64))
    if row.valid is not None:
        hidden |= ~np.asarray(row.valid[i], np.bool_)
    held = np.ma.array(image, mask=hidden)
    norm = depth_norm((low, high)) if row.cmap == DEPTH_COLOURS else Normalize(low, high)
    heat: AxesImage = axis.imshow(held, cmap=cmap, norm=norm, interpolation="nearest")
    return heat


def _range(row: Row) -> tuple[float, float]:
    values = np.stack([np.asarray(image, np.float64) for image in row.images])
    keep = np.isfinite(values)
    if row.valid is not None:
        keep &= np.stack([np.asarray(v, np.bool_) for v in row.valid])
    if not keep.any():
        return 0.0, 1.0
    low, high = np.percentile(values[keep], (2, 98))
    return float(low), float(high if high > low else low + 1)


def _flow_reach(row: Row) -> float:
    length = np.linalg.norm(np.stack([np.asarray(image) for image in row.images]), axis=-1)
    finite = length[np.isfinite(length)]
    return float(max(np.percentile(finite, 98), 1e-6)) if len(finite) else 1.0


def flow_colours(flow: Array, reach: float) -> NDArray[np.float64]:
    """Flow (H, W, 2) as colours (H, W, 3): hue is the direction, saturation the length up to `reach` pixels.

    Note:    grey is where there is no flow.
    """
    x, y = np.asarray(flow, np.float64)[..., 0], np.asarray(flow, np.float64)[..., 1]
    hue = (np.arctan2(y, x) / (2 * np.pi)) % 1
    strength = np.clip(np.hypot(x, y) / reach, 0, 1)
    hsv = np.stack((hue, np.nan_to_num(strength), np.ones_like(hue)), -1)
    coloured = matplotlib.colors.hsv_to_rgb(np.nan_to_num(hsv))
    known = np.isfinite(x) & np.isfinite(y)
    return np.where(known[..., None], coloured, matplotlib.colors.to_rgb(HOLE))


def pick_frames(total: int, at_most: int) -> NDArray[np.int64]:
    """Evenly spaced frame indices, first and last included."""
    return np.unique(np.linspace(0, total - 1, min(at_most, total)).round().astype(np.int64))


def prediction_sheet(
    prediction: Prediction, moving: NDArray[np.bool_] | None = None, at_most: int = 6, width_in: float = 9.0
) -> Figure:
    """Pictures, depth, confidence and, where there are any, the model's mask and the moving mask of a Prediction."""
    index = pick_frames(len(prediction), at_most)
    depth = prediction.depth[index]
    rows = [
        Row(prediction.images[index], "image"),
        Row(depth, "depth", f"z ({unit_of(prediction)})", valid=depth > 0),
        Row(prediction.depth_conf[index], "confidence", "1 + exp(c)", cmap="viridis"),
    ]
    if prediction.mask is not None:
        reach = float(max(np.abs(prediction.mask).max(), 1e-6))
        rows.append(Row(prediction.mask[index], "model's mask", "m", cmap="RdBu_r", limits=(-reach, reach)))
    if moving is not None:
        rows.append(Row(moving[index].astype(np.float64), "moving", "0 still, 1 moving", cmap="magma", limits=(0, 1)))
    return contact_sheet(rows, [prediction.frame_names[i] for i in index], width_in)


def clip_sheet(clip: Clip, at_most: int = 6, width_in: float = 9.0) -> Figure:
    """Pictures, exact depth, moving mask and flow of a Clip, as far as it has them."""
    index = pick_frames(len(clip), at_most)
    unit = "m" if clip.metric else "scene units"
    valid = clip.valid.numpy()[index]
    pictures, depth = clip.images.permute(0, 2, 3, 1).numpy()[index], clip.depth.numpy()[index]
    rows = [Row(pictures, "image"), Row(depth, "depth", f"z ({unit})", valid=valid)]
    if clip.moving is not None:
        rows.append(Row(clip.moving.float().numpy()[index], "moving", "0 still, 1 moving", "magma", (0, 1)))
    if clip.flow is not None:
        flow = clip.flow.numpy()
        last = np.full_like(flow[:1], np.nan)
        rows.append(Row(np.concatenate((flow, last))[index], "flow"))
    return contact_sheet(rows, [f"frame {int(clip.frame_numbers[i])}" for i in index], width_in)
