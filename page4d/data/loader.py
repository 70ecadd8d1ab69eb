"""Batches by number, made in worker processes: the same whatever the number of workers, processes or restarts."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch.utils.data import DataLoader, Dataset

from page4d.schema import Clip, UserError

T = TypeVar("T")


class NumberedClips(Protocol):
    """Anything that makes the clips of a batch from its number (`page4d.data.mixing.Mix` does)."""

    def clips(self, index: int, iteration: int) -> list[Clip]:
        """The clips of batch `index`, which is read in `iteration`."""
        ...


@dataclass(frozen=True)
class BatchShare:
    """Which batches one process reads: those of `rank` among `world` processes, `accumulate` an iteration each."""

    rank: int = 0
    world: int = 1
    accumulate: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world or self.accumulate < 1:
            raise UserError(
                f"rank {self.rank} of {self.world} processes, {self.accumulate} batches each: expected a rank below "
                "the number of processes, and at least 1 batch"
            )

    def numbers(self, iteration: int) -> list[int]:
        """Batch numbers of an iteration; over all ranks and iterations every number comes exactly once."""
        first = iteration * self.world * self.accumulate
        return [first + m * self.world + self.rank for m in range(self.accumulate)]


@dataclass(frozen=True)
class _Refusal:
    """What a worker could not read, carried to the main process as its message alone."""

    message: str


class _BatchMaker(Dataset[T | _Refusal]):
    """A function of (batch number, iteration) as a torch Dataset."""

    def __init__(self, make: Callable[[int, int], T]) -> None:
        self.make = make

    def __getitem__(self, key: tuple[int, int]) -> T | _Refusal:
        try:
            return self.make(*key)
        except UserError as error:
            # Raised in a worker it would arrive with the text of its traceback.
            return _Refusal(str(error))


class _BatchKeys:
    """(batch number, iteration) of every batch in order, without holding them all."""

    def __init__(self, share: BatchShare, first: int, last: int) -> None:
        self.share, self.first, self.last = share, first, last

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for iteration in range(self.first, self.last):
            for number in self.share.numbers(iteration):
                yield number, iteration


def _as_it_is(batch: T) -> T:
    return batch


def _ignore_sigterm(worker: int) -> None:
    """A cluster sends SIGTERM to the whole process group; a worker that died of it would break the batch in hand."""
    del worker
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


_KILLED = re.compile(r"DataLoader worker \(pid\(?s?\)? ?(?P<pid>[\d, ]+)\) (?P<what>[^.]*)")


@contextmanager
def naming_killed_workers() -> Iterator[None]:
    """Turn the failure of a data worker into one line that names it.

    Note:    torch raises it wherever the main process happens to be, not only where a batch is fetched.
    Raises:  UserError with the worker's process number and what ended it.
    """
    try:
        yield
    except RuntimeError as error:
        found = _KILLED.search(str(error))
        if found is None:
            raise
        raise UserError(
            f"data worker {found['pid'].strip(', ')} {found['what'].strip()}; most often memory ran out: lower "
            "trainer.workers, or the pictures of a batch"
        ) from error


def make_ahead(
    make: Callable[[int, int], T], share: BatchShare, first: int, last: int, workers: int, prefetch: int = 4
) -> Generator[T]:
    """`make(number, iteration)` for iterations `first` to `last`, in `workers` processes (0: in this one).

    Note:    each worker holds `prefetch` batches ready; what comes does not depend on the number of workers.
    Raises:  UserError for what `make` refuses, and if a worker is killed.
    """
    keys = _BatchKeys(share, first, last)
    if workers == 0:
        yield from (make(*key) for key in keys)
        return
    loader: DataLoader[T | _Refusal] = DataLoader(
        _BatchMaker(make),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        prefetch_factor=prefetch,
        collate_fn=_as_it_is,
        worker_init_fn=_ignore_sigterm,
    )
    with naming_killed_workers():
        for batch in loader:
            if isinstance(batch, _Refusal):
                raise UserError(batch.message)
            yield batch


class ClipLoader:
    """Iterates over the batches of one process, from any iteration on.

    To resume, store `state_dict()` and give it to `load_state_dict` of a new loader of the same source: it goes on
    with the batch after the last one that was handed out.

    Note:    workers is the number of processes that prepare batches ahead (0: none); iterations None means no end.
    """

    def __init__(
        self, source: NumberedClips, share: BatchShare | None = None, workers: int = 0, iterations: int | None = None
    ) -> None:
        if workers < 0:
            raise UserError(f"workers is {workers}; expected 0 or more")
        self.source, self.share, self.workers = source, share or BatchShare(), workers
        self.iterations = iterations
        self.batches_done = 0

    def __iter__(self) -> Iterator[list[Clip]]:
        start, skip = divmod(self.batches_done, self.share.accumulate)
        end = 2**62 if self.iterations is None else self.iterations
        made = make_ahead(self.source.clips, self.share, start, end, self.workers, prefetch=2)
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
