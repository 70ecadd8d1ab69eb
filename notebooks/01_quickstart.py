# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart
#
# A first page with a formula $a^2 + b^2 = c^2$, cited from {cite}`wang2025vggt`.

# %% tags=["parameters"]
weights = "tiny"
images = "synthetic"
device = "cpu"

# %% mystnb={"figure": {"caption": "A spiral.", "name": "fig-spiral"}}
import numpy as np
import plotly.graph_objects as go

t = np.linspace(0, 20, 300)
figure = go.Figure(go.Scatter3d(x=np.cos(t), y=np.sin(t), z=t, mode="markers", marker={"color": t}))
figure
