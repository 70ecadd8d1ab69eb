"""The settings of a training run as frozen dataclasses, built from plain nested dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from page4d.losses import LossConfig
from page4d.schema import UserError
from page4d.settings import DEFAULT_SEED, Between, Count, CountOrZero, NonNegative, Seed, Share, Size, check_values
from page4d.train.schedules import Piece, Schedule, warmup_cosine

Momentum = Annotated[float, Between(0, 0.999999)]


@dataclass(frozen=True)
class RateConfig:
    """A learning rate over the run: linear from `floor` to `peak`, half cosine back; or `pieces` of one's own."""

    peak: NonNegative = 1e-3
    floor: NonNegative = 1e-8
    warmup: Share = 0.05
    pieces: tuple[Piece, ...] = ()

    def __post_init__(self) -> None:
        check_values(self)

    def schedule(self) -> Schedule:
        """The schedule these numbers describe."""
        return Schedule(self.pieces) if self.pieces else warmup_cosine(self.peak, self.floor, self.warmup)


@dataclass(frozen=True)
class GroupConfig:
    """One optimizer group: parameter-name patterns (None = the rest), learning rate and weight decay.

    Note:  biases, norms and LayerScale decay like everything else unless `decay_vectors` is False.
    """

    patterns: tuple[str, ...] | None = None
    rate: RateConfig = field(default_factory=RateConfig)
    weight_decay: NonNegative = 0.01
    decay_vectors: bool = True

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class ClipConfig:
    """Parameters whose gradient is clipped by one norm; `max_norm` None measures without clipping."""

    patterns: tuple[str, ...] | None = None
    max_norm: Annotated[float, Between(1e-12, 1e12)] | None = 1.0

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class AdamConfig:
    """AdamW: what is frozen (module patterns), and the numbers that all groups share."""

    freeze: tuple[str, ...] = ()
    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    eps: Annotated[float, Between(1e-30, 1)] = 1e-8

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class OptimConfig(AdamConfig):
    """AdamW with its groups and its clipping groups."""

    groups: dict[str, GroupConfig] = field(default_factory=lambda: {"all": GroupConfig()})
    clip: dict[str, ClipConfig] = field(default_factory=lambda: {"all": ClipConfig()})


@dataclass(frozen=True)
class TrainerConfig:
    """The loop.

    Note:    max_steps and every *_every count optimizer steps (0 = never); precision "no" is float32;
             keep is how many of the latest checkpoints stay beside the best; metric names a logged validation scalar;
             max_skips is how many iterations in a row may be skipped for non-finite gradients;
             max_shard_mb splits checkpoint files (0 = one file); fsdp shards parameters over processes;
             dense_every is n where depth and points learn on every n-th frame only, from a first frame that the batch
             number decides (cameras learn on all); max_seconds ends the run by the clock: its schedules then follow
             the share of the time that is gone, if that is more than the share of the steps (0 = no limit);
             log_with names further loggers of accelerate, such as wandb or mlflow;
             cuda_graphs records steps on a GPU and replays them, for small networks that leave it waiting;
             reuse is how many steps each batch is trained on, some time apart, where making one takes longer than
             a step.
             A run with max_seconds depends on the machine's speed; it is for machines that are lent by the minute.
             On a GPU convolutions use TF32, PyTorch's default; matrix products do not, because the world's exact
             geometry is computed in the same process.
    """

    max_steps: Count = 1000
    accumulate: Size = 1
    precision: Literal["no", "bf16"] = "no"
    seed: Seed = DEFAULT_SEED
    device: Literal["auto", "cpu"] = "auto"
    threads: Annotated[int, Between(0, 4096)] = 0
    workers: Annotated[int, Between(0, 1024)] = 1
    gradient_checkpointing: bool = False
    fsdp: bool = False
    log_every: CountOrZero = 10
    save_every: CountOrZero = 500
    keep: Count = 2
    validate_every: CountOrZero = 500
    image_every: CountOrZero = 500
    metric: str = "val/objective"
    mode: Literal["min", "max"] = "min"
    max_skips: CountOrZero = 10
    max_shard_mb: CountOrZero = 0
    resume: str | int = "auto"
    progress: bool = True
    tensorboard: bool = True
    log_with: tuple[str, ...] = ()
    dense_every: Count = 1
    max_seconds: NonNegative = 0.0
    cuda_graphs: bool = False
    reuse: Count = 1

    def __post_init__(self) -> None:
        check_values(self)
        if self.reuse > 1 and self.accumulate > 1:
            raise UserError(
                f"trainer.reuse is {self.reuse} with accumulate {self.accumulate}; expected one of them at 1"
            )


@dataclass(frozen=True)
class StartConfig:
    """What the network begins from.

    Note:    weights is a file, run folder, built-in or hub name, None for a random start; layer_scale replaces the
             initial LayerScale of a random start (small networks learn faster from 0.1 than from the 0.01 of the
             full one); fresh names modules that begin anew although weights are given, such as heads that an earlier
             stage did not have.
    """

    weights: str | None = None
    layer_scale: Annotated[float, Between(-1e3, 1e3)] | None = None
    fresh: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class AidConfig:
    """What the synthetic world's exact truth teaches beside the paper's losses; all of it ours, none of it the paper's.

    Note:    enabled switches the matching aid on, throw-away heads that learn exact correspondences from the tokens of
             block pair `pair` (-1 = the last); weight is a ramp of [share of the run, value]; temperature divides the
             cosine similarities; flow_weight is the share of the flow term; width of the matching features.
             mask_weight counts the cross-entropy of the mask against the true share of moving pixels in each patch;
             true_mask puts the true motion in the place of the learned mask, in training and validation: the upper
             bound of what a mask can give.
    """

    enabled: bool = False
    pair: int = -1
    weight: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    temperature: Annotated[float, Between(1e-6, 1e6)] = 0.07
    flow_weight: NonNegative = 1.0
    width: Size = 64
    mask_weight: NonNegative = 0.0
    true_mask: bool = False

    def __post_init__(self) -> None:
        check_values(self)
        late = [at for at, _ in self.weight if not 0 <= at <= 1]
        if late:
            raise UserError(f"aid.weight stands at {late}; expected shares of the run, 0 to 1 (steps until now)")


@dataclass(frozen=True)
class Settings:
    """Everything that shapes a run but the model, the data and the folder."""

    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    aid: AidConfig = field(default_factory=AidConfig)
    start: StartConfig = field(default_factory=StartConfig)
