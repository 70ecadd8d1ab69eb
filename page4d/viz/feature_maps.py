"""Figure 2 of the paper: feature maps as pictures, one file a layer, kind and frame."""

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


def normalise_map(values: NDArray[np.floating]) -> NDArray[np.float32]:
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

    Source:  public visualisation script: YlOrRd, truncated to 8 bits, and only then enlarged bilinearly.
    """
    coloured = (plt.get_cmap("YlOrRd")(normalise_map(values))[..., :3] * 255).astype(np.uint8)
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
    """The paper's figure: one line a layer, the image first, then one column for each set of maps (L, S, h, w)."""
    figure, axes = plt.subplots(
        len(layers),
        1 + len(columns),
        figsize=(2.2 * (1 + len(columns)), 1.9 * len(layers)),
        squeeze=False,
        layout="constrained",
    )
    for line, layer in zip(axes, layers, strict=True):
        line[0].imshow(images[frame])
        line[0].set_ylabel(f"layer {layer + 1}\n(pair {layer})", fontsize=9)
        for axis, (name, maps) in zip(line[1:], columns.items(), strict=True):
            shown = axis.imshow(
                normalise_map(maps[layer, frame]), cmap="YlOrRd", vmin=0, vmax=1, interpolation="bilinear"
            )
            axis.set_title(name if layer == layers[0] else "", fontsize=9)
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
    axes[0][0].set_title("image", fontsize=9)
    bar = figure.colorbar(shown, ax=axes.ravel().tolist(), fraction=0.02, pad=0.01)
    bar.set_label("channel mean, each map scaled to 0 ... 1", fontsize=8)
    return figure


def layer_slider(frame: NDArray[np.float32], global_: NDArray[np.float32], images: NDArray[np.uint8]) -> go.Figure:
    """An interactive figure: all frames of one layer side by side, pictures, frame and global maps, a slider of layers.

    Shapes:  frame, global_ (L, S, h, w); images (S, H, W, 3) with H, W multiples of h, w.
    """
    height, width = frame.shape[2:]
    detail = max(1, SLIDER_HEIGHT // height)
    small = [np.asarray(Image.fromarray(image).resize((detail * width, detail * height))) for image in images]

    def sheet(layer: int) -> go.Image:
        drawn = ([map_picture(values, detail) for values in maps[layer]] for maps in (frame, global_))
        rows = [np.concatenate(pictures, 1) for pictures in (small, *drawn)]
        png = io.BytesIO()
        Image.fromarray(np.concatenate(rows, 0)).save(png, "PNG")
        source = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")
        return go.Image(source=source, hoverinfo="skip")

    layers = range(len(frame))
    steps = [{"label": str(i), "method": "animate", "args": [[str(i)], {"mode": "immediate"}]} for i in layers]
    figure = go.Figure(sheet(0), frames=[go.Frame(data=[sheet(i)], name=str(i)) for i in layers])
    centres = [(i + 0.5) * detail * height for i in range(3)]
    figure.update_xaxes(
        tickvals=[(i + 0.5) * detail * width for i in range(len(images))],
        ticktext=[f"frame {i}" for i in range(len(images))],
    )
    figure.update_yaxes(tickvals=centres, ticktext=["image", "frame attention", "global attention"])
    slider = {"steps": steps, "currentvalue": {"prefix": "block pair "}, "pad": {"t": 30}}
    figure.update_layout(sliders=[slider], height=460, margin={"l": 110, "r": 10, "t": 20, "b": 10})
    return figure
