"""Batches on the device that trains, made there beside the training step."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from typing import TypeVar

import torch
from torch import Tensor

from page4d.train.batch import TrainBatch
from page4d.train.sources import Delivery

AHEAD = 2
REUSE_LAG = 24
"""Batches between one use of a batch and the next: far enough for the network to have moved on."""

T = TypeVar("T")


def delivered(batches: Iterator[Delivery], device: torch.device) -> Generator[TrainBatch]:
    """Every batch on the device, in order.

    Note:    on a GPU a thread renders and copies on a stream of its own, `AHEAD` batches ahead. It costs the training
             thread little: that one waits in the backward pass, where the interpreter is free, most of the time.
    """
    if device.type != "cuda":
        yield from (batch.to(device) for batch in batches)
        return
    stream = torch.cuda.Stream(device)
    trains_on = torch.cuda.current_stream(device)

    def bring() -> TrainBatch:
        with torch.cuda.device(device), torch.cuda.stream(stream):
            batch = next(batches).to(device)
        stream.synchronize()
        _used_on(batch, trains_on)
        return batch

    with ThreadPoolExecutor(1, "delivery") as thread:
        waiting: deque[Future[TrainBatch]] = deque(thread.submit(bring) for _ in range(AHEAD))
        try:
            while True:
                batch = waiting.popleft().result()
                waiting.append(thread.submit(bring))
                yield batch
        finally:
            for future in waiting:
                future.cancel()


def _used_on(batch: TrainBatch, stream: torch.cuda.Stream) -> None:
    """Tell the allocator which stream reads a batch, or its memory is given away while that still reads."""
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            value.record_stream(stream)


def reused(fresh: Iterator[T], times: int, iteration: int = 0) -> Iterator[T]:
    """Every batch `times` times, `REUSE_LAG` other fresh ones between its uses: from `iteration` on.

    Note:    `fresh` begins with the batch that `first_fresh` names, so a resumed run sees what an unbroken one saw.
             The first batches of a run come back earlier, because nothing came before them.
    """
    if times == 1:
        yield from fresh
        return
    kept: deque[T] = deque(maxlen=REUSE_LAG * (times - 1) + 1)
    missing = -(-iteration // times) - first_fresh(iteration, times)
    kept.extend(next(fresh) for _ in range(missing))
    while True:
        newest, use = divmod(iteration, times)
        if use == 0:
            kept.append(next(fresh))
        back = min(REUSE_LAG * use, newest - newest // 2)
        yield kept[-1 - back]
        iteration += 1


def first_fresh(iteration: int, times: int) -> int:
    """The number of the first fresh batch that iterations from `iteration` on read."""
    return max(0, iteration // times - REUSE_LAG * (times - 1)) if times > 1 else iteration
