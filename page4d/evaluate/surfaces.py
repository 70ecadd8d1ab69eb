"""Two point clouds as surfaces: accuracy, completeness and normal consistency, with ICP or without.

Search trees are scipy's; ICP is the few lines below, because open3d is no dependency: point to point, rigid, with the
closed-form fit of `page4d.geometry`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from page4d.geometry import fit_similarity

Points = NDArray[np.float64]
NEIGHBOURS = 30  # for normals, as the released scripts ask of open3d
ICP_REACH_M = 0.1
ICP_STEPS = 30
ICP_DONE = 1e-6


@dataclass(frozen=True)
class SurfaceErrors:
    """How two clouds lie on each other.

    Units:   accuracy (from each predicted point to the nearest true one) and completeness (the other way) in the
             truth's unit, lower is better; normals are |cosines| between the normals of nearest points, both ways
             averaged, higher is better.
    """

    accuracy_mean: float
    accuracy_median: float
    completeness_mean: float
    completeness_median: float
    normals_mean: float
    normals_median: float


def surface_errors(predicted: Points, true: Points, neighbours: int = NEIGHBOURS) -> SurfaceErrors:
    """Measure two aligned clouds.

    Shapes:  predicted (N, 3), true (M, 3), each with more points than `neighbours`.
    Raises:  ValueError for other shapes, too few points, or coordinates that are not finite.
    Source:  the measures of DUSt3R's and CUT3R's evaluation of 7-Scenes and NRGBD, written from their definition.
    """
    _check(predicted, neighbours)
    _check(true, neighbours)
    ours, theirs = cKDTree(predicted), cKDTree(true)
    accuracy, nearest_true = theirs.query(predicted)
    completeness, nearest_ours = ours.query(true)
    our_normals = estimate_normals(predicted, ours, neighbours)
    their_normals = estimate_normals(true, theirs, neighbours)
    from_ours = _agreement(our_normals, their_normals[nearest_true])
    from_theirs = _agreement(their_normals, our_normals[nearest_ours])
    normals_mean = (from_ours.mean() + from_theirs.mean()) / 2
    normals_median = (np.median(from_ours) + np.median(from_theirs)) / 2
    near, near_middle = float(accuracy.mean()), float(np.median(accuracy))
    full, full_middle = float(completeness.mean()), float(np.median(completeness))
    return SurfaceErrors(near, near_middle, full, full_middle, float(normals_mean), float(normals_median))


def estimate_normals(points: Points, tree: cKDTree | None = None, neighbours: int = NEIGHBOURS) -> Points:
    """Unit normals (N, 3) up to sign: the direction in which a point's neighbours spread least."""
    tree = cKDTree(points) if tree is None else tree
    _, index = tree.query(points, k=neighbours)
    around = points[index]
    centred = around - around.mean(1, keepdims=True)
    covariance = centred.transpose(0, 2, 1) @ centred
    _, directions = np.linalg.eigh(covariance)
    # Eigenvalues ascend, so the first eigenvector spans the thinnest direction.
    return np.asarray(directions[:, :, 0])


def _agreement(a: Points, b: Points) -> Points:
    return np.asarray(np.abs(np.einsum("ni,ni->n", a, b)))


def refine_by_icp(predicted: Points, true: Points, reach: float = ICP_REACH_M) -> Points:
    """Move a cloud rigidly onto another: point-to-point ICP on pairs nearer than `reach`.

    Shapes:  predicted (N, 3), true (M, 3) -> (N, 3).
    Note:    ends when a round moves no point by more than a millionth of `reach`, or after ICP_STEPS rounds; with
             fewer than three pairs in reach the cloud is returned as it came.
    Raises:  ValueError if the pairs in reach lie on one line.
    Source:  Besl & McKay (1992).
    """
    tree = cKDTree(true)
    moved = predicted
    for _ in range(ICP_STEPS):
        distance, nearest = tree.query(moved, distance_upper_bound=reach)
        paired = np.isfinite(distance)
        if np.count_nonzero(paired) < 3:
            return moved
        source = torch.from_numpy(moved[paired])
        target = torch.from_numpy(true[nearest[paired]])
        fit = fit_similarity(source, target, with_scale=False)
        before, moved = moved, fit.apply(torch.from_numpy(moved)).numpy()
        if np.abs(moved - before).max() < ICP_DONE * reach:
            break
    return moved


def _check(points: Points, neighbours: int) -> None:
    if points.ndim != 2 or points.shape[1] != 3 or len(points) <= neighbours:
        raise ValueError(f"points of shape {points.shape}: expected (N, 3) with more than {neighbours} points")
    if not np.isfinite(points).all():
        raise ValueError("points: expected finite coordinates, leave the others out before")
