"""A training step as a CUDA graph: recorded once for each shape of batch, then replayed by a single launch.

A small network leaves a GPU idle: a step is thousands of short kernels, and the host cannot launch them as fast as they
run. A recorded step has no such gaps. Everything that changes from step to step goes in through tensors that stay where
they are: the batch, and the weight of the aid. What is recorded may not make the host wait for the device, which is
why the losses choose by masks (`page4d.losses`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from page4d.schema import UserError
from page4d.train.batch import TrainBatch
from page4d.train.settings import Settings

WARM_UP = 3
"""Steps before the first recording: libraries choose their kernels and allocate their workspaces in them."""

Step = Callable[[TrainBatch], dict[str, Tensor]]


@dataclass(frozen=True)
class RecordedStep:
    """A recorded step with the tensors it reads and writes, which stay at their addresses."""

    graph: torch.cuda.CUDAGraph
    batch: TrainBatch
    terms: dict[str, Tensor]
    gradients: tuple[tuple[nn.Parameter, Tensor], ...]

    def replay(self, batch: TrainBatch) -> dict[str, Tensor]:
        """The step on another batch of the same shape; parameters have their gradients afterwards."""
        for name, place in tensors_of(self.batch).items():
            place.copy_(getattr(batch, name))
        self.graph.replay()
        for parameter, gradient in self.gradients:
            parameter.grad = gradient
        return self.terms


def can_record(settings: Settings, accelerator: Accelerator) -> bool:
    """Whether steps are recorded as CUDA graphs: where that is asked for.

    Raises:  UserError where it is asked for and cannot be.
    """
    trainer, loss = settings.trainer, settings.loss
    if not trainer.cuda_graphs:
        return False
    one_gpu = accelerator.device.type == "cuda" and accelerator.num_processes == 1
    if not (one_gpu and trainer.accumulate == 1 and not trainer.gradient_checkpointing):
        raise UserError(
            f"trainer.cuda_graphs with device {accelerator.device}, {accelerator.num_processes} processes, accumulate "
            f"{trainer.accumulate}, gradient_checkpointing {trainer.gradient_checkpointing}: expected one process on a "
            "GPU, accumulate 1 and no checkpointing; set trainer.cuda_graphs=false"
        )
    if loss.behaviour == "public" or loss.track.weight > 0:
        # Both ask the device how many pixels or points count, and a recording may not wait for an answer.
        raise UserError(
            f"trainer.cuda_graphs with loss.behaviour {loss.behaviour} and loss.track.weight {loss.track.weight}: "
            "expected corrected and 0, the losses that can be recorded; set trainer.cuda_graphs=false"
        )
    return True


class StepGraphs:
    """Records a step (forward and backward, gradients from nothing) for each key and replays it from then on.

    Note:    the graphs share one memory pool, because only one runs at a time.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = tuple(parameters)
        self.recorded: dict[Hashable, RecordedStep] = {}
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, key: Hashable, batch: TrainBatch, step: Step) -> dict[str, Tensor]:
        """Run `step` on a batch; `key` must name everything that the recording holds fixed besides the shapes."""
        whole_key = (key, shapes_of(batch))
        if whole_key not in self.recorded:
            self.recorded[whole_key] = self._record(batch, step)
        return self.recorded[whole_key].replay(batch)

    def _record(self, batch: TrainBatch, step: Step) -> RecordedStep:
        copies: dict[str, Any] = {name: value.clone() for name, value in tensors_of(batch).items()}
        fixed = replace(batch, **copies)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(1 if self.recorded else WARM_UP):
                self._forget_gradients()
                step(fixed)
        torch.cuda.current_stream().wait_stream(aside)
        # Without a gradient to add to, the recorded backward pass writes each one anew, at an address of its own.
        self._forget_gradients()
        graph = torch.cuda.CUDAGraph()
        # Other threads bring batches meanwhile, with calls that a global recording would not allow.
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            terms = step(fixed)
        gradients = tuple((p, p.grad) for p in self.parameters if p.grad is not None)
        return RecordedStep(graph, fixed, terms, gradients)

    def _forget_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def tensors_of(batch: TrainBatch) -> dict[str, Tensor]:
    """The tensors of a batch by name."""
    values = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def shapes_of(batch: TrainBatch) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Names and shapes of a batch's tensors: what a recording is good for."""
    return tuple((name, tuple(value.shape)) for name, value in tensors_of(batch).items())
