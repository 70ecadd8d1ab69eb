"""The parts a loop is made of: processes and precision, the module that trains, the optimizer."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, filter_trackers
from accelerate.utils import DistributedDataParallelKwargs, FullyShardedDataParallelPlugin
from torch import Tensor, nn

from page4d.model import ALL_FRAMES, PAGE4D
from page4d.model.precision import heads_in_float32
from page4d.processes import process
from page4d.schema import UserError
from page4d.train.aid import MatchingAid
from page4d.train.patterns import NamedPatterns, divide
from page4d.train.schedules import Schedule
from page4d.train.settings import AidConfig, OptimConfig, Settings, TrainerConfig

WHOLE_BLOCKS = "Block"
"""Class name of the layers that FSDP gathers one at a time."""


def make_accelerator(config: TrainerConfig, folder: Path) -> Accelerator:
    """Processes, precision and loggers; launched by `torchrun` or `accelerate launch`, or alone.

    Note:    bfloat16 needs no loss scaler and gets none (the public trainer scaled it all the same, T3).
             Several processes on a machine without an accelerator must be told to use the CPU: accelerate would
             start each of them alone, all writing to one run folder.
    """
    several = process()[1] > 1
    cpu = config.device == "cpu" or (several and not torch.accelerator.is_available())
    fsdp = None
    if config.fsdp:
        fsdp = FullyShardedDataParallelPlugin(
            fsdp_version=2, auto_wrap_policy="transformer_based_wrap", transformer_cls_names_to_wrap=[WHOLE_BLOCKS]
        )
    return Accelerator(
        cpu=cpu,
        mixed_precision=config.precision,
        log_with=_known_loggers(config.log_with) or None,
        project_dir=folder,
        fsdp_plugin=fsdp,
        # The mask head has no gradient once its schedule is over.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def _known_loggers(names: Sequence[str]) -> list[str]:
    """The names of loggers, all of which accelerate knows and finds.

    Raises:  UserError for a logger that accelerate does not know, or whose package is not installed; accelerate
             itself would leave the second one out without a word.
    """
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            known = sorted(map(str, LOGGER_TYPE_TO_CLASS))
            raise UserError(f"trainer.log_with: {name!r} is no logger of accelerate; choose from {', '.join(known)}")
        if not filter_trackers([name], "."):
            raise UserError(f"trainer.log_with: {name!r} is not installed; install its package, or leave it out")
    return list(dict.fromkeys(names))


class Trainee(nn.Module):
    """The network and the aid as one module, so that one wrapper (DDP, FSDP) holds both."""

    def __init__(self, model: PAGE4D, config: AidConfig) -> None:
        super().__init__()
        depth = model.config.depth
        self.aid_pair = config.pair + depth if config.pair < 0 else config.pair
        if not 0 <= self.aid_pair < depth:
            raise UserError(f"aid.pair is {config.pair}, the network has pairs 0 to {depth - 1}")
        self.model = model
        self.aid = MatchingAid(2 * model.config.embed_dim, config) if config.enabled else None

    def forward(
        self,
        images: Tensor,
        query_points: Tensor | None = None,
        given_mask: Tensor | None = None,
        dense_frames: slice = ALL_FRAMES,
    ) -> dict[str, Any]:
        images = self.model.aggregator.check_images(images)
        aid_pairs = () if self.aid is None else (self.aid_pair,)
        out, predictions = self.model.run(images, query_points, given_mask, dense_frames, aid_pairs)
        tokens = out.tokens[self.aid_pair]
        if self.aid is not None and self.training and tokens is not None:
            with heads_in_float32(images.device.type):
                predictions["aid"] = self.aid(tokens, out.patch_start)
        return predictions

    def names(self) -> dict[str, nn.Parameter]:
        """Parameters under the names that patterns use: those of the network, and `aid.*`."""
        return {name.removeprefix("model."): parameter for name, parameter in self.named_parameters()}


def make_optimizer(
    trainee: Trainee, config: OptimConfig, fused: bool = False
) -> tuple[torch.optim.Optimizer, dict[str, Schedule]]:
    """AdamW over the trainable parameters, and the learning-rate schedule of each group by name.

    Note:    fused updates all tensors in one kernel, for GPUs.

    Raises:  UserError if a pattern matches nothing or a parameter has no group or two, or nothing trains.
    """
    wanted = [NamedPatterns(name, group.patterns) for name, group in config.groups.items()]
    members = divide(trainee.names(), wanted, "optim.groups")
    if not members:
        raise UserError("optim.freeze leaves nothing to train")
    groups: list[dict[str, Any]] = []
    schedules: dict[str, Schedule] = {}
    for name, parameters in members.items():
        group = config.groups[name]
        schedules[name] = group.rate.schedule()
        vectors = [] if group.decay_vectors else [p for p in parameters if p.ndim < 2]
        matrices = [p for p in parameters if group.decay_vectors or p.ndim >= 2]
        for part, decay in ((matrices, group.weight_decay), (vectors, 0.0)):
            if part:
                groups.append({"params": part, "weight_decay": decay, "lr": schedules[name](0.0), "name": name})
    return torch.optim.AdamW(groups, betas=config.betas, eps=config.eps, fused=fused), schedules


def clip_groups(trainee: Trainee, config: OptimConfig) -> dict[str, tuple[list[nn.Parameter], float]]:
    """The trainable parameters by clipping group, with the largest norm allowed (inf = measure only).

    Raises:  UserError if a parameter is in no group or in two.
    """
    wanted = [NamedPatterns(name, clip.patterns) for name, clip in config.clip.items()]
    limits = {name: float("inf") if c.max_norm is None else c.max_norm for name, c in config.clip.items()}
    members = divide(trainee.names(), wanted, "optim.clip")
    return {name: (parameters, limits[name]) for name, parameters in members.items()}


def set_rates(optimizer: Any, schedules: Mapping[str, Schedule], done_share: float) -> dict[str, float]:
    """Give every group its learning rate at `done_share`; returns them by name."""
    rates = {name: schedule(done_share) for name, schedule in schedules.items()}
    for group in optimizer.param_groups:
        group["lr"] = rates[group["name"]]
    return rates


def out_of_memory(shape: str, settings: Settings) -> UserError:
    """The error that says which batch did not fit and what to lower."""
    hints = ["data.batch_size (raise trainer.accumulate to keep the total)", "data.frames", "the image size"]
    if not settings.trainer.gradient_checkpointing:
        hints.append("or set trainer.gradient_checkpointing=true")
    if settings.trainer.precision == "no":
        hints.append("or set trainer.precision=bf16")
    return UserError(f"out of memory with a batch of {shape}; lower {', '.join(hints)}")


@contextmanager
def catch_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM call `stop` in place of ending the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def caught(_signal: int, _frame: FrameType | None) -> None:
        stop()

    before = signal.signal(signal.SIGTERM, caught)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
