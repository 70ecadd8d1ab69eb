"""Does the confidence know where the error is? Sparsification curves and the area between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.given import as_real

Array = NDArray[np.floating[Any]]
STEPS = 100


@dataclass(frozen=True)
class Sparsification:
    """What is left of the mean error when the least trusted pixels are taken away, share by share.

    Shapes:  removed, by_confidence, by_error (n,).
    Units:   removed is a share of the pixels; the curves are mean errors over the mean error of all pixels, so that
             both begin at 1; by_error is the oracle, which takes the worst pixels away first.
    """

    removed: NDArray[np.float64]
    by_confidence: NDArray[np.float64]
    by_error: NDArray[np.float64]

    @property
    def ause(self) -> float:
        """Area between the two curves: 0 for a confidence that orders pixels as their errors do."""
        return float(np.trapezoid(self.by_confidence - self.by_error, self.removed))

    @property
    def ause_of_chance(self) -> float:
        """The area that a confidence without any knowledge has on average: its curve stays at 1."""
        return float(np.trapezoid(1.0 - self.by_error, self.removed))


def sparsification(error: Array, confidence: Array, steps: int = STEPS) -> Sparsification:
    """Sparsification curves of one set of pixels.

    Shapes:  error, confidence (N,): errors are not negative, a larger confidence is more trust.
    Note:    pixels of equal confidence are taken away together on average: each counts with the mean error of its
             ties, so the order in which pixels are stored says nothing.
    Raises:  ValueError for unequal or empty shapes, values that are not finite, or errors that are all 0.
    Source:  Ilg et al. (2018), section 4.1.
    """
    error, confidence = as_real(error), as_real(confidence)
    if error.shape != confidence.shape or error.ndim != 1 or len(error) == 0:
        raise ValueError(f"errors {error.shape}, confidence {confidence.shape}: expected two equal (N,) with N >= 1")
    if not (np.isfinite(error).all() and np.isfinite(confidence).all()):
        raise ValueError("errors and confidence: expected finite values, leave the others out before")
    mean = float(error.mean())
    if mean == 0:
        raise ValueError("every error is 0: there is nothing that a confidence could order")
    removed = np.linspace(0, 1, steps, endpoint=False)
    kept = len(error) - np.floor(removed * len(error)).astype(int)
    trusted_first = _with_tied_means(error.astype(np.float64), confidence)
    best_first = np.sort(error.astype(np.float64))
    return Sparsification(removed, _mean_of_first(trusted_first, kept) / mean, _mean_of_first(best_first, kept) / mean)


def _with_tied_means(error: NDArray[np.float64], confidence: Array) -> NDArray[np.float64]:
    """Errors ordered from the most to the least trusted pixel, ties replaced by their mean."""
    _, group = np.unique(-confidence, return_inverse=True)
    size = np.bincount(group)
    mean = np.bincount(group, weights=error) / size
    return np.repeat(mean, size)


def _mean_of_first(ordered: NDArray[np.float64], counts: NDArray[np.int_]) -> NDArray[np.float64]:
    return np.asarray(np.cumsum(ordered)[counts - 1] / counts)
