"""Figure 2 of the paper: feature maps as pictures, one file per layer, kind and frame."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from page4d.schema import UserError, atomic_write

ENLARGE = 12
SLIDER_HEIGHT = 96  # pixels of one picture of the slider; it travels once for every layer
KINDS = ("frame", "global")


def normalize_map(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Min-max to [0, 1]; a map that is flat up to rounding becomes 0 everywhere instead of NaN or magnified noise.

    Raises:  UserError if a value is not finite.
    """
    values = np.asarray(values, np.float32)
    if not np.isfinite(values).all():
        raise UserError("a feature map has NaN or infinite values; run the network in float32 or bfloat16, not float16")
    low, high = values.min(), values.max()
    if high - low <= 8 * np.finfo(np.float32).eps * max(abs(low), abs(high)):
        return np.zeros_like(values)
    once = (values - low) / (high - low)
    return np.asarray(once, np.float32)


def map_picture(values: NDArray[np.floating], enlarge: int = ENLARGE) -> NDArray[np.uint8]:
    """One map (h, w) as the paper's picture (enlarge * h, enlarge * w, 3).

    Source:  public visualization script: YlOrRd, truncated to 8 bits, and only then enlarged bilinearly.
    """
    shades = plt.get_cmap("YlOrRd")(normalize_map(values))[..., :3]
    coloured = (shades * 255).astype(np.uint8)
    height, width = values.shape
    size = (enlarge * width, enlarge * height)
    return np.asarray(Image.fromarray(coloured).resize(size, Image.Resampling.BILINEAR))


def write_feature_pictures(
    frame: NDArray[np.float32], global_: NDArray[np.float32], names: Sequence[str], folder: Path
) -> list[Path]:
    """Write `{name}_frame_feature_{layer}.png` and `{name}_global_feature_{layer}.png` of every frame and layer.

    Shapes:  frame, global_ (L, S, h, w); S names.
    Raises:  UserError if two frames have one name (one would overwrite the other), or the folder is not writable.
    """
    if len(set(names)) != len(names):
        twice = sorted({n for n in names if list(names).count(n) > 1})
        raise UserError(f"frames share the names {twice[:5]}; rename the files, or give one folder at a time")
    written = []
    for kind, maps in zip(KINDS, (frame, global_), strict=True):
        for layer, layer_maps in enumerate(maps):
            for name, values in zip(names, layer_maps, strict=True):
                path = folder / f"{name}_{kind}_feature_{layer}.png"
                with atomic_write(path) as stream:
                    Image.fromarray(map_picture(values)).save(stream, format="PNG")
                written.append(path)
    return written


def feature_figure(
    columns: dict[str, NDArray[np.float32]], images: NDArray[np.uint8], layers: Sequence[int], frame: int = 0
) -> Figure:
    """The paper's figure: one row per layer, the image first, then one column for each set of maps (L, S, h, w)."""
    tall, wide = images[frame].shape[:2]
    size = (2.2 * (1 + len(columns)), (1.8 * tall / wide + 0.1) * len(layers))
    figure, axes = plt.subplots(len(layers), 1 + len(columns), figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    for line, layer in zip(axes, layers, strict=True):
        line[0].imshow(images[frame])
        line[0].set_ylabel(f"layer {layer + 1}\n(pair {layer})", fontsize=11)
        for axis, maps in zip(line[1:], columns.values(), strict=True):
            values = normalize_map(maps[layer, frame])
            shown = axis.imshow(values, cmap="YlOrRd", vmin=0, vmax=1, interpolation="bilinear")
    for axis, title in zip(axes[0], ("image", *columns), strict=True):
        axis.set_title(title, fontsize=11)
    bar = figure.colorbar(shown, ax=axes.ravel().tolist(), fraction=0.02, pad=0.01)
    bar.set_label("channel mean, each map scaled to 0 ... 1", fontsize=11)
    return figure


def layer_slider(frame: NDArray[np.float32], global_: NDArray[np.float32], images: NDArray[np.uint8]) -> go.Figure:
    """An interactive figure: all frames of one layer side by side, pictures, frame and global maps, a slider of layers.

    Shapes:  frame, global_ (L, S, h, w); images (S, H, W, 3) with H, W multiples of h, w.
    """
    height, width = frame.shape[2:]
    detail = max(1, SLIDER_HEIGHT // height)
    tall, wide = detail * height, detail * width
    small = [np.asarray(Image.fromarray(image).resize((wide, tall))) for image in images]
    pictures = np.concatenate(small, 1)
    sheets = [_sheet(pictures, *layers, detail) for layers in zip(frame, global_, strict=True)]
    named = [go.Frame(data=[sheet], name=str(i)) for i, sheet in enumerate(sheets)]
    figure = go.Figure(sheets[0], frames=named)
    frames = range(len(images))
    columns = [(i + 0.5) * wide for i in frames]
    figure.update_xaxes(tickvals=columns, ticktext=[f"frame {i}" for i in frames])
    kinds = ["image", "frame attention", "global attention"]
    figure.update_yaxes(tickvals=[(i + 0.5) * tall for i in range(3)], ticktext=kinds)
    how = {"mode": "immediate"}
    steps = [{"label": str(i), "method": "animate", "args": [[str(i)], how]} for i in range(len(sheets))]
    slider = {"steps": steps, "currentvalue": {"prefix": "block pair "}, "pad": {"t": 30}}
    figure.update_layout(sliders=[slider], height=460, margin={"l": 110, "r": 10, "t": 20, "b": 10})
    return figure


def _sheet(
    pictures: NDArray[np.uint8], frame: NDArray[np.float32], global_: NDArray[np.float32], detail: int
) -> go.Image:
    """One layer: the pictures, the frame maps and the global maps (S, h, w), one row under the other."""
    rows = [pictures, _row(frame, detail), _row(global_, detail)]
    stream = io.BytesIO()
    # Every layer repeats the pictures, and PNG would store each of them whole.
    Image.fromarray(np.concatenate(rows, 0)).save(stream, "WEBP", quality=90)
    source = "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    return go.Image(source=source, hoverinfo="skip")


def _row(maps: NDArray[np.float32], detail: int) -> NDArray[np.uint8]:
    return np.concatenate([map_picture(values, detail) for values in maps], 1)
