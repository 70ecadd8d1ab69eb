"""What the code asks of CUDA, asked of a stand-in: the branches that run on a GPU alone, on any machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from little_model import little_model
from torch import Tensor

from page4d.inference import compile_blocks, model_provenance, predict, products_dtype
from page4d.model.layers import Block
from page4d.model.memory import memory_limit
from page4d.model.precision import native_dtype, native_precision
from page4d.train.batch import TrainBatch
from page4d.train.delivery import AHEAD, delivered
from page4d.train.record import memory_gb
from page4d.train.snapshot import rng_state, set_rng_state

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
IMAGES = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))


def test_a_card_has_what_is_free_and_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: asked.append(device) or (5, 80))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: asked.append(device) or 3)
    assert memory_limit(CUDA) == 8
    assert asked == [CUDA, CUDA]


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16)])
def test_a_card_computes_in_what_it_has(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
    model = little_model()
    assert native_dtype(CUDA) == products_dtype(model, CUDA) == dtype
    assert native_precision(CUDA) == ("bf16" if dtype == torch.bfloat16 else "float32")
    assert native_dtype(CPU) == torch.float32
    said = model_provenance(model, CUDA)
    assert (said["device"], said["device_name"], said["convolutions"]) == ("cuda:0", "card 0", "tf32")
    assert said["aggregator_dtype"] == str(dtype).removeprefix("torch.")
    here = model_provenance(model, CPU)
    assert (here["device_name"], here["convolutions"], here["aggregator_dtype"]) == ("cpu", "float32", "float32")


def test_the_aggregators_blocks_are_compiled_and_nothing_else() -> None:
    model = little_model(mask_hold_start=1, mask_hold_end=1)
    plain = predict(model, IMAGES)
    compile_blocks(model, CUDA)
    inside = list(model.aggregator.modules())
    compiled = [part for part in model.modules() if part._compiled_call_impl is not None]
    assert compiled == [part for part in inside if isinstance(part, Block)]
    assert len(compiled) >= 2 * model.config.depth
    # Compiled calls are called: the graphs are not made here, what they wrap runs as it is.
    with torch.compiler.set_stance("force_eager"):
        np.testing.assert_array_equal(predict(model, IMAGES).depth, plain.depth)


def test_a_run_tells_the_cards_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3_500_000_000)
    assert memory_gb() == 3.5
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert 0.1 < memory_gb() < 100


def test_a_checkpoint_holds_the_generators_of_all_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [torch.tensor([1, 2]), torch.tensor([3, 4])]
    put_back: list[list[Tensor]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: cards)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", put_back.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    state = rng_state()
    drawn = torch.rand(3), np.random.rand(), state["cuda"]
    set_rng_state(state)
    assert drawn[2] is put_back[0] is cards
    assert torch.equal(torch.rand(3), drawn[0])
    assert np.random.rand() == drawn[1]
    # On a machine with another number of cards theirs stay as they are, and the run goes on.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    set_rng_state(state)
    assert len(put_back) == 1


@dataclass
class Stream:
    """A stand-in for a CUDA stream, which writes down what happens on it."""

    name: str
    waits: list[int] = field(default_factory=list)
    made: int = 0

    def synchronize(self) -> None:
        """The host waits until all batches are made that were begun."""
        self.waits.append(self.made)


@dataclass(frozen=True)
class Bringing:
    """A batch on its way; `to` makes it, on the stream that is current."""

    number: int
    current: list[Stream]

    @property
    def names(self) -> tuple[str, ...]:
        """As of any batch."""
        return (str(self.number),)

    def to(self, _device: torch.device | str) -> TrainBatch:
        """Six tensors and names."""
        self.current[-1].made += 1
        some = torch.zeros(1, 2)
        return TrainBatch(some, some.clone(), some.clone(), some.clone(), self.names, "fake", moving=some.clone())


def test_batches_for_a_card_are_made_ahead_on_a_stream_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    training, own, recorded = Stream("training"), Stream("delivery"), []
    current = [training]

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        current.append(stream)
        yield
        current.pop()

    @contextmanager
    def device_is(_device: Any) -> Iterator[None]:
        yield

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: own)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: training)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "device", device_is)
    monkeypatch.setattr(Tensor, "record_stream", lambda tensor, stream: recorded.append((id(tensor), stream)))
    batches = delivered((Bringing(number, current) for number in count()), CUDA)
    seen = [next(batches) for _ in range(4)]
    assert [batch.names for batch in seen] == [("0",), ("1",), ("2",), ("3",)]
    batches.close()
    # All were made on the stream of their own, AHEAD of them before anyone asks, and each was waited for.
    assert training.made == 0
    assert 4 <= own.made <= 4 + AHEAD
    assert own.waits == list(range(1, own.made + 1))
    # The allocator knows of every tensor that training reads it.
    tensors = {id(t) for b in seen for t in (b.images, b.depth, b.cam_from_world, b.K, b.moving)}
    assert tensors <= {number for number, _ in recorded}
    assert all(stream is training for _, stream in recorded)


def test_batches_for_a_cpu_are_made_when_they_are_asked_for() -> None:
    made = Stream("here")
    batches = delivered((Bringing(number, [made]) for number in range(3)), CPU)
    assert made.made == 0
    assert next(batches).names == ("0",)
    assert made.made == 1
    assert [batch.names for batch in batches] == [("1",), ("2",)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_batches_arrive_on_the_card_with_their_values() -> None:
    def batch(number: int) -> TrainBatch:
        some = torch.full((1, 2), float(number))
        return TrainBatch(some, some.clone(), some.clone(), some.clone(), (str(number),), "fake")

    arrived = delivered((batch(number) for number in count()), CUDA)
    for number in range(5):
        one = next(arrived)
        assert {one.images.device, one.depth.device, one.K.device} == {CUDA}
        assert float(one.images.sum() + one.K.sum()) == 4 * number
    arrived.close()
    state = rng_state()
    drawn = torch.rand(3, device=CUDA)
    set_rng_state(state)
    assert torch.equal(torch.rand(3, device=CUDA), drawn)
    assert memory_gb() < 80
