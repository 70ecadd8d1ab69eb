"""Batches by number, made in worker processes: the same whatever the number of workers, processes or restarts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset

from page4d.schema import Clip, UserError


class Numbered(Protocol):
    """Anything that makes the clips of a batch from its number (`page4d.data.mixing.Mix` does)."""

    def clips(self, index: int, iteration: int) -> list[Clip]:
        """The clips of batch `index`, which is read in `iteration`."""
        ...


@dataclass(frozen=True)
class Share:
    """Which batches one process reads: those of `rank` among `world` processes, `accumulate` an iteration each."""

    rank: int = 0
    world: int = 1
    accumulate: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world or self.accumulate < 1:
            raise UserError(f"rank {self.rank} of {self.world} processes, {self.accumulate} batches each: impossible")

    def numbers(self, iteration: int) -> list[int]:
        """Batch numbers of an iteration; over all ranks and iterations every number comes exactly once."""
        first = iteration * self.world * self.accumulate
        return [first + m * self.world + self.rank for m in range(self.accumulate)]


class _Batches(Dataset[list[Clip]]):
    def __init__(self, source: Numbered) -> None:
        self.source = source

    def __getitem__(self, key: tuple[int, int]) -> list[Clip]:
        return self.source.clips(*key)


class _Keys:
    """(batch number, iteration) in order."""

    def __init__(self, share: Share, first: int, last: int) -> None:
        self.share, self.first, self.last = share, first, last

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for iteration in range(self.first, self.last):
            for number in self.share.numbers(iteration):
                yield number, iteration


def _as_it_is(clips: list[Clip]) -> list[Clip]:
    return clips


class ClipLoader:
    """Iterates over the batches of one process, from any iteration on.

    To resume, store `state_dict()` and give it to `load_state_dict` of a new loader of the same source: it goes on
    with the batch after the last one that was handed out.

    Args:    workers is the number of processes that prepare batches ahead (0: none); iterations None means no end.
    """

    def __init__(
        self, source: Numbered, share: Share | None = None, workers: int = 0, iterations: int | None = None
    ) -> None:
        if workers < 0:
            raise UserError(f"workers is {workers}; needed 0 or more")
        self.source, self.share, self.workers = source, share or Share(), workers
        self.iterations = iterations
        self.batches_done = 0

    def __iter__(self) -> Iterator[list[Clip]]:
        start, skip = divmod(self.batches_done, self.share.accumulate)
        end = 2**62 if self.iterations is None else self.iterations
        options: dict[str, Any] = {"prefetch_factor": 2} if self.workers else {}
        made = DataLoader(
            _Batches(self.source),
            batch_size=None,
            sampler=_Keys(self.share, start, end),
            num_workers=self.workers,
            collate_fn=_as_it_is,
            **options,
        )
        for position, clips in enumerate(made):
            if position >= skip:
                self.batches_done += 1
                yield clips

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands."""
        return {"batches_done": self.batches_done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the batches that another loader of the same source has handed out."""
        self.batches_done = int(state["batches_done"])
