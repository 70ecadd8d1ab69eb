"""Places that hold together by similarities between some of them: the placement that all of these fit best.

A chain of joins alone fits itself exactly, whatever its errors; a similarity between two far ends of it does not, and
what does not fit is shared out over all joins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation

from page4d.geometry import Similarity

FREEDOM = 7  # of a similarity: turn, shift, logarithm of the scale
STEPS = 50  # from a drift of a whole turn it takes about ten
HALVINGS = 20
SETTLED = 1e-9  # radians and lengths
NUDGE = 1e-6  # of a numerical derivative


@dataclass(frozen=True)
class Edge:
    """Node `second` as seen from node `first`, and how far that may be off.

    Units:   sigma in radians, lengths of the node `second`, and logarithm of the scale alike.
    """

    first: int
    second: int
    second_in_first: Similarity
    sigma: float = 1.0


class _Many:
    """N similarities at once; `a @ b` does b first."""

    def __init__(self, scale: NDArray[np.float64], turn: Rotation, shift: NDArray[np.float64]) -> None:
        self.scale, self.turn, self.shift = scale, turn, shift

    @classmethod
    def of(cls, similarities: Sequence[Similarity]) -> _Many:
        scale = np.array([float(s.scale) for s in similarities])
        turn = Rotation.from_matrix(np.stack([s.rotation.numpy() for s in similarities]))
        return cls(scale, turn, np.stack([s.translation.numpy() for s in similarities]))

    @classmethod
    def of_parameters(cls, parameters: NDArray[np.float64]) -> _Many:
        turn = Rotation.from_rotvec(parameters[:, :3])
        return cls(np.exp(parameters[:, 6]), turn, parameters[:, 3:6])

    def parameters(self) -> NDArray[np.float64]:
        return np.column_stack((self.turn.as_rotvec(), self.shift, np.log(self.scale)))

    def __matmul__(self, other: _Many) -> _Many:
        shift = self.scale[:, None] * self.turn.apply(other.shift) + self.shift
        return _Many(self.scale * other.scale, self.turn * other.turn, shift)

    def __getitem__(self, index: NDArray[np.int64]) -> _Many:
        return _Many(self.scale[index], self.turn[index], self.shift[index])

    def inverse(self) -> _Many:
        turn, scale = self.turn.inv(), 1 / self.scale
        return _Many(scale, turn, -scale[:, None] * turn.apply(self.shift))

    def listed(self) -> list[Similarity]:
        rotation = torch.from_numpy(self.turn.as_matrix())
        scale, shift = torch.from_numpy(self.scale), torch.from_numpy(self.shift)
        return [Similarity(*one) for one in zip(scale, rotation, shift, strict=True)]


def similarity_between(first: Similarity, second: Similarity) -> Similarity:
    """`second` as seen from `first`, both in one world: first^-1 second."""
    one, other = _Many.of([first]), _Many.of([second])
    return (one.inverse() @ other).listed()[0]


def after(outer: Similarity, inner: Similarity) -> Similarity:
    """The similarity that does `inner` first and then `outer`."""
    return (_Many.of([outer]) @ _Many.of([inner])).listed()[0]


def inverse(similarity: Similarity) -> Similarity:
    """The similarity that takes back what this one does."""
    return _Many.of([similarity]).inverse().listed()[0]


def optimized(nodes: Sequence[Similarity], edges: Sequence[Edge]) -> list[Similarity]:
    """The nodes, world from node, moved so that the edges fit best; the first node stays.

    Note:    least squares over the edges' misfits, each as share of its sigma, from the nodes as they are given.
    Raises:  ValueError for nodes that no edge holds.
    Source:  Gauss and Newton's steps, each halved until the misfit falls; sparse normal equations, solved by scipy.
    """
    graph = _Graph.of(edges, len(nodes))
    now = _Many.of(nodes)
    misfit = graph.misfits(now)
    for _ in range(STEPS):
        change = graph.step(now, misfit)
        better = None
        for halving in range(HALVINGS):
            tried = now @ _Many.of_parameters(change * 0.5**halving)
            found = graph.misfits(tried)
            if (found**2).sum() < (misfit**2).sum():
                better = tried, found
                break
        if better is None:
            break
        now, misfit = better
        if np.abs(change).max() < SETTLED:
            break
    return now.listed()


@dataclass(frozen=True)
class _Graph:
    """The edges in arrays, and how many nodes they hold."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    first_in_second: _Many
    sigma: NDArray[np.float64]
    nodes: int

    @classmethod
    def of(cls, edges: Sequence[Edge], nodes: int) -> _Graph:
        first = np.array([edge.first for edge in edges], np.int64)
        second = np.array([edge.second for edge in edges], np.int64)
        loose = sorted(set(range(1, nodes)) - {*first.tolist(), *second.tolist()})
        if loose:
            raise ValueError(f"node {loose[0]} of {nodes} is in no edge, so nothing says where it belongs")
        seen = _Many.of([edge.second_in_first for edge in edges])
        return cls(first, second, seen.inverse(), np.array([edge.sigma for edge in edges]), nodes)

    def misfits(self, now: _Many) -> NDArray[np.float64]:
        """(E, 7), as share of sigma."""
        return self._between(now[self.first].inverse(), now[self.second])

    def _between(self, node_from_first: _Many, second: _Many) -> NDArray[np.float64]:
        off = self.first_in_second @ (node_from_first @ second)
        return np.asarray(off.parameters() / self.sigma[:, None])

    def step(self, now: _Many, misfit: NDArray[np.float64]) -> NDArray[np.float64]:
        """The change (N, 7) of all nodes after which the misfits, were they straight lines, would be least."""
        slopes = coo_array(self._slopes(now), shape=(misfit.size, FREEDOM * self.nodes)).tocsc()
        free = slopes[:, FREEDOM:]
        solved = spsolve((free.T @ free).tocsc(), -free.T @ misfit.ravel())
        return np.concatenate((np.zeros((1, FREEDOM)), solved.reshape(-1, FREEDOM)))

    def _slopes(self, now: _Many) -> tuple[NDArray[np.float64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Values, rows and columns of the misfits' derivatives; an edge asks its two nodes and no other."""
        one, other = now[self.first], now[self.second]
        edges = len(self.first)
        row = FREEDOM * np.arange(edges)[:, None] + np.arange(FREEDOM)
        values, columns = [], []
        for axis in range(FREEDOM):
            # One freedom of every edge at once, by differences to both sides.
            nudge = np.zeros((edges, FREEDOM))
            nudge[:, axis] = NUDGE
            ahead, back = _Many.of_parameters(nudge), _Many.of_parameters(-nudge)
            rises = self._between((one @ ahead).inverse(), other) - self._between((one @ back).inverse(), other)
            values.append(rises / (2 * NUDGE))
            columns.append(np.broadcast_to(FREEDOM * self.first[:, None] + axis, row.shape))
            rises = self._between(one.inverse(), other @ ahead) - self._between(one.inverse(), other @ back)
            values.append(rises / (2 * NUDGE))
            columns.append(np.broadcast_to(FREEDOM * self.second[:, None] + axis, row.shape))
        rows = np.concatenate([row.ravel()] * len(values))
        return np.concatenate(values).ravel(), (rows, np.concatenate(columns).ravel())
