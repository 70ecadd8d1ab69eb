"""The builder of settings: types, words as switches, limits, and messages that say where."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from page4d.schema import UserError
from page4d.settings import Between, Share, build, change, check_values, near


@dataclass(frozen=True)
class Lens:
    focal: Annotated[float, Between(1, 100)]
    shares: tuple[Share, Share] = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class Camera:
    name: str = "first"
    on: bool = False
    frames: int = 1
    mode: Literal["fast", "slow"] = "fast"
    lens: Lens = field(default_factory=lambda: Lens(10.0))
    more: dict[str, Lens] = field(default_factory=dict)
    folder: Path | None = None
    stride: int | None = None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"on": "off"}, Camera(on=False)),
        ({"on": "Yes"}, Camera(on=True)),
        ({"name": 2026}, Camera(name="2026")),
        ({"folder": "a/b"}, Camera(folder=Path("a/b"))),
        ({"lens": {"focal": "1e1", "shares": [0, 1]}}, Camera(lens=Lens(10.0))),
        ({"more": {"left": {"focal": 3}}, "stride": None}, Camera(more={"left": Lens(3.0)})),
    ],
)
def test_plain_values_become_typed_ones(values: dict[str, Any], expected: Camera) -> None:
    assert build(Camera, values, "camera") == expected


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"on": "maybe"}, r"camera\.on is 'maybe', expected true or false"),
        ({"on": 1}, r"camera\.on is 1, expected true or false"),
        ({"frames": True}, r"camera\.frames is True, expected a whole number"),
        ({"frames": 1.0}, r"camera\.frames is 1\.0, expected a whole number"),
        ({"frames": "3"}, r"camera\.frames is '3', expected a whole number"),
        ({"name": None}, r"camera\.name is None, expected text"),
        ({"name": False}, r"camera\.name is False, expected text"),
        ({"mode": "slowly"}, r"camera\.mode is 'slowly'; choose one of 'fast', 'slow'"),
        ({"lens": {}}, r"camera\.lens: focal must be given"),
        ({"lens": {"focal": 101}}, r"camera\.lens: focal is 101\.0; expected 1 to 100"),
        ({"lens": {"focal": float("nan")}}, r"camera\.lens\.focal is nan, expected a finite number"),
        ({"lens": {"focal": "inf"}}, r"camera\.lens\.focal is 'inf', expected a finite number"),
        ({"lens": {"focal": 10**400}}, r"camera\.lens\.focal is 1000.*, expected a finite number"),
        ({"lens": {"focal": 3, "shares": [0, 2]}}, r"camera\.lens: shares is 2\.0; expected 0 to 1"),
        ({"lens": {"focal": 3, "shares": [0]}}, r"camera\.lens\.shares has 1 entries, expected 2"),
        ({"more": {"left": {"focl": 3}}}, r"camera\.more\.left\.focl is not a setting; near keys: focal"),
        ({"stride": "x"}, r"camera\.stride is 'x', expected a whole number"),
    ],
)
def test_what_does_not_fit_is_named_where_it_stands(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        build(Camera, values, "camera")


def test_changes_are_as_strict_as_building() -> None:
    base = Camera(frames=7)
    assert change(base, {"on": "on"}, "camera") == Camera(frames=7, on=True)
    with pytest.raises(UserError, match=r"camera\.frame is not a setting; near keys: frames"):
        change(base, {"frame": 3}, "camera")
    with pytest.raises(UserError, match=r"lens: focal is 0\.5"):
        change(base.lens, {"focal": 0.5}, "lens")


def test_near_names() -> None:
    assert near("heigth", ["width", "height"]).startswith("height")
    assert near("xyz", ["width", "height"]) == "none"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["focal", "shares", "x"]), inner),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([*Camera.__dataclass_fields__, "unknown"]), PLAIN, max_size=4))
def test_any_plain_values_give_settings_or_a_complaint(values: dict[str, Any]) -> None:
    complaint = "camera"
    try:
        made = build(Camera, values, "camera")
    except UserError as error:
        made, complaint = Camera(), str(error)
    assert complaint.startswith("camera")
    assert type(made.on) is bool
    assert type(made.frames) is int
    assert 1 <= made.lens.focal <= 100
