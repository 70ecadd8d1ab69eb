"""What an iteration logs: terms summed over its batches, and their means on which all processes agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor


class IterationMeans(NamedTuple):
    """Mean terms and gradient norms, whether all is finite on all processes, and whether one was asked to stop."""

    means: dict[str, float]
    fine: bool
    stop: bool


@dataclass
class TermSums:
    """The terms of an iteration of `parts` batches, each over `parts`, and how many batches had a term.

    Note:    `names` are all terms that the run can have: the vectors of all processes must be of one length and order,
             and not every batch has every term.
    """

    names: tuple[str, ...]
    parts: int = 1
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Count in the terms of one batch."""
        assert terms.keys() <= set(self.names), terms.keys()
        # One stack, not a kernel for each of some twenty numbers.
        values = torch.stack([value.float() for value in terms.values()]) / self.parts
        for name, value in zip(terms, values.unbind(), strict=True):
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts.update(terms.keys())

    def agree(self, accelerator: Accelerator, norms: Mapping[str, Tensor], stopping: bool) -> IterationMeans:
        """Means over all batches of all processes that had a term; norms are means over processes.

        Note:    with one process this is the step's one wait for the device; a SIGTERM travels with it to all.
        """
        device = accelerator.device
        measured = [norm.to(device).float() for norm in norms.values()]
        fine = torch.stack([*measured, self.sums["objective"]]).isfinite().all()
        nothing = torch.zeros((), device=device)
        values = [self.sums.get(name, nothing) for name in self.names]
        flags = torch.stack([(~fine).float(), torch.full((), float(stopping), device=device)])
        vector = accelerator.reduce(torch.cat((flags, torch.stack(values + measured))), "sum")
        broken, stop, *totals = vector.double().tolist()
        shares = [*self._shares(accelerator), *(accelerator.num_processes for _ in norms)]
        rows = zip((*self.names, *norms), totals, shares, strict=True)
        return IterationMeans({name: total / share for name, total, share in rows if share > 0}, broken == 0, stop > 0)

    def _shares(self, accelerator: Accelerator) -> list[float]:
        """What to divide sums over processes by: for a term that all batches had, the number of processes."""
        counts = [float(self.counts[name]) for name in self.names]
        if accelerator.num_processes > 1:
            counts = accelerator.reduce(torch.tensor(counts, device=accelerator.device), "sum").tolist()
        return [count / self.parts for count in counts]
