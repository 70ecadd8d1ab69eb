"""Loops of long films: found again, believed only if the mixed window bears it out, and shared out over all joins."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from little_model import little_model
from scipy.spatial.transform import Rotation

from page4d import films
from page4d.films import predict_film
from page4d.geometry import Similarity
from page4d.inference import as_frames, mixed_by, predict
from page4d.io.images import LoadedImages
from page4d.loops import Loop, agreement_of, candidates, loops_of, moves_of, small_pictures, with_loops_closed
from page4d.moves import Move
from page4d.result.cloud import world_from_cam
from page4d.result.exact import prediction_from_clip
from page4d.result.placed import move_of, moved
from page4d.result.planted_errors import PlantedErrors, plant_errors
from page4d.result.pose_graph import Edge, after, inverse, optimized
from page4d.schema import Prediction, UserError, concatenated
from page4d.stored import FILM_FILE, StoredPrediction, write_film_file
from page4d.windows import Windows, join_windows
from page4d.world import render_clip
from page4d.world.walks import walk_through_rooms

FRAMES, ROUNDS, WINDOWS = 100, 2.1, Windows(16, 4, loops=True)
GOOD = {"by": "points", "residual": 0.01}


@pytest.fixture(scope="module")
def walk() -> Prediction:
    """Two rounds of a house and some more, exact; no two frames are taken from one place."""
    exact = prediction_from_clip(render_clip(walk_through_rooms(2, FRAMES, ROUNDS, 24, 32)))
    return replace(exact, points=None, points_conf=None)


def similarity(scale: float = 1.0, turn: tuple[float, ...] = (0, 0, 0), shift: tuple[float, ...] = (0, 0, 0)) -> Any:
    rotation = torch.from_numpy(Rotation.from_rotvec(turn).as_matrix())
    return Similarity(torch.tensor(scale).double(), rotation, torch.tensor(shift).double())


def frames_of(exact: Prediction, part: Prediction) -> Prediction:
    """The truth of a prediction's frames, told by their names."""
    where = [exact.frame_names.index(name) for name in part.frame_names]
    return concatenated([exact[i : i + 1] for i in where])


def oracle(exact: Prediction, seed: int = 0) -> Callable[[Prediction, Prediction], Prediction]:
    """A network that says the truth of a mixed window, in a world and scale of its own."""
    rng = np.random.default_rng(seed)

    def mixed(earlier: Prediction, later: Prediction) -> Prediction:
        return plant_errors(frames_of(exact, concatenated((earlier, later))), PlantedErrors(0, 0), rng)

    return mixed


def drifted(exact: Prediction, drift: Similarity) -> Prediction:
    """The film with one error more at every join, made about the first camera of the window."""
    parts, total = [], similarity()
    for part in WINDOWS.new_frames(len(exact)):
        frames = exact[part.start : part.stop]
        camera = world_from_cam(frames)[0]
        here = Similarity(
            torch.ones(()).double(), *(torch.from_numpy(a).double() for a in (camera[:, :3], camera[:, 3]))
        )
        if part.start:
            total = after(total, after(here, after(drift, inverse(here))))
        parts.append(moved(frames, total))
    return concatenated(parts)


def worst_place(film: Prediction, exact: Prediction) -> float:
    """The largest error of a camera's place, in metres; nothing is fitted."""
    off = world_from_cam(film)[:, :, 3] - world_from_cam(exact)[:, :, 3]
    return float(np.linalg.norm(off, axis=1).max())


def worst_scale(film: Prediction, exact: Prediction) -> float:
    return float(np.abs(np.log(np.median(film.depth / exact.depth, axis=(1, 2)))).max())


def same_bits(a: Prediction, b: Prediction) -> None:
    for field in fields(Prediction):
        if field.name != "meta":
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


# --- the graph ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [3, 8])
def test_a_loop_shares_its_error_out_evenly(nodes: int) -> None:
    """n places that are one; n - 1 joins that each err by d, and a loop that does not: each of the n takes d / n."""
    step = similarity(math.exp(0.05), shift=(0, 0, 0))
    chain = [similarity()]
    for _ in range(nodes - 1):
        chain.append(after(chain[-1], step))
    edges = [Edge(i, i + 1, step) for i in range(nodes - 1)] + [Edge(0, nodes - 1, similarity())]
    found = [math.log(float(node.scale)) for node in optimized(chain, edges)]
    np.testing.assert_allclose(found, 0.05 * np.arange(nodes) / nodes, atol=1e-7)


def test_a_surer_edge_bends_less() -> None:
    """One join errs by 1 m, the loop by nothing; least squares give the join's sigma^2 = 4 four shares of five."""
    step = similarity(shift=(1, 0, 0))
    edges = [Edge(0, 1, step, sigma=2), Edge(0, 1, similarity(), sigma=1)]
    found = optimized([similarity(), step], edges)[1]
    np.testing.assert_allclose(found.translation, (0.2, 0, 0), atol=1e-9)


def test_a_graph_that_fits_stays() -> None:
    rng = np.random.default_rng(0)
    nodes = [similarity(float(np.exp(rng.normal())), rng.normal(size=3), rng.normal(size=3)) for _ in range(6)]
    edges = [
        Edge(i, j, after(inverse(nodes[i]), nodes[j])) for i, j in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5))
    ]
    for old, new in zip(nodes, optimized(nodes, edges), strict=True):
        np.testing.assert_allclose(new.rotation, old.rotation, atol=1e-9)
        np.testing.assert_allclose(new.translation, old.translation, atol=1e-9)


def test_a_node_that_nothing_holds_is_told() -> None:
    with pytest.raises(ValueError, match="node 2 of 3 is in no edge"):
        optimized([similarity()] * 3, [Edge(0, 1, similarity())])


# --- found and looked at --------------------------------------------------------------------------------------------


def test_a_small_picture_does_not_know_of_brightness() -> None:
    images = np.random.default_rng(0).integers(0, 120, (2, 24, 32, 3), np.uint8)
    pictures, brighter = small_pictures(images), small_pictures(images * 2)
    np.testing.assert_allclose(pictures @ brighter.T, pictures @ pictures.T, atol=0.02)
    assert (small_pictures(np.full((1, 24, 32, 3), 9, np.uint8)) == 0).all()


def test_the_most_alike_frame_far_enough_before_is_proposed() -> None:
    parts = [range(4), range(4, 8), range(8, 12)]
    one = np.eye(12, dtype=np.float32)
    one[9] = 0.8 * one[2] + 0.1 * one[6]
    one[5] = one[3]  # too near
    found = list(candidates([one[part.start : part.stop] for part in parts], parts, 2))
    assert [(c.frames, c.windows) for c in found] == [((2, 9), (0, 2))]
    assert found[0].alike == pytest.approx(0.8)
    assert list(candidates([one[part.start : part.stop] for part in parts], parts, 5)) == []


def test_visits_of_a_walk_through_rooms_are_found_and_others_refused(walk: Prediction) -> None:
    loops = loops_of(walk, Windows(8, 2), oracle(walk))
    period = FRAMES / ROUNDS
    for loop in loops:
        first, second = loop.candidate.frames
        rounds = (second - first) / period
        assert (loop.earlier_from_later is not None) == (abs(rounds - round(rounds)) < 0.1), loop.record()
    closed = [loop for loop in loops if loop.earlier_from_later is not None]
    assert len(closed) >= 4
    assert len(closed) < len(loops)  # walls of one paint are alike, so some were wrong
    for loop in closed:  # the film is exact, so that its visits lie where they are
        assert loop.earlier_from_later is not None
        assert float(loop.earlier_from_later.scale) == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(loop.earlier_from_later.translation, 0, atol=1e-3)


def test_pictures_that_differ_are_refused_wherever_they_are_put(walk: Prediction) -> None:
    here = walk[10:11]
    same = agreement_of(here, here)
    assert same.holds
    assert (same.seen, same.depth, round(same.picture, 6)) == (1, 1, 1)
    other = replace(here, images=walk.images[50:51])
    found = agreement_of(here, other)
    assert (found.seen, found.depth) == (1, 1)
    assert found.picture < 0.6
    assert not found.holds


def test_depth_that_differs_is_refused_however_alike_pictures_are(walk: Prediction) -> None:
    here = walk[10:11]
    assert not agreement_of(here, replace(here, depth=here.depth * 1.5)).holds
    assert not agreement_of(here, replace(here, depth=here.depth * 0)).holds
    assert not agreement_of(replace(here, depth=here.depth * 0), here).holds


def test_what_the_user_left_out_has_no_depth_in_a_mixed_window(walk: Prediction) -> None:
    masked = replace(walk, depth=np.where(np.arange(32) < 9, np.float32(0), walk.depth))
    mixed = mixed_by(little_model(), None, None)(masked[:2], walk[50:52])
    for values in (mixed.depth, mixed.depth_conf):
        assert (values[:2, :, :9] == 0).all()
        assert (values[:2, :, 9:] > 0).all()
        assert (values[2:] > 0).all()


def test_a_film_whose_windows_the_mixed_one_contradicts_is_left(walk: Prediction) -> None:
    """A mixed window whose own halves do not have the shape of the film's is not believed."""
    rng = np.random.default_rng(0)
    wrong = replace(walk, depth=walk.depth * rng.uniform(0.5, 2, walk.depth.shape).astype(np.float32))
    loops = loops_of(wrong, WINDOWS, oracle(walk))
    assert loops
    assert all(loop.earlier_from_later is None for loop in loops)


# --- closed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "drift",
    [
        similarity(1.03),
        similarity(1.0, (0.0, 0.02, 0.005)),
        similarity(0.98, (0.01, -0.02, 0.0), (0.05, 0.01, -0.03)),
    ],
)
def test_planted_drift_of_a_closed_walk_is_taken_back(walk: Prediction, drift: Similarity) -> None:
    film = drifted(walk, drift)
    joins = [GOOD] * (len(WINDOWS.new_frames(FRAMES)) - 1)
    closed, loops = with_loops_closed(film, WINDOWS, joins, oracle(walk))
    assert sum(loop.earlier_from_later is not None for loop in loops) >= 4
    assert worst_place(closed, walk) < 0.15 * worst_place(film, walk)
    if float(drift.scale) != 1:
        assert worst_scale(closed, walk) < 0.2 * worst_scale(film, walk)


def test_without_a_loop_nothing_changes(walk: Prediction) -> None:
    once = walk[:40]  # five sixths of a round
    film = drifted(once, similarity(1.03))
    closed, loops = with_loops_closed(film, WINDOWS, [GOOD] * 2, oracle(walk))
    assert closed is film
    assert all(loop.earlier_from_later is None for loop in loops)


def test_a_join_by_cameras_alone_bends_first(walk: Prediction) -> None:
    """Of two chains with one loop, the error goes where a join said least of itself."""
    film = drifted(walk, similarity(1.02))
    loops = loops_of(film, WINDOWS, oracle(walk))
    last = [loop for loop in loops if loop.earlier_from_later is not None][-1:]
    joins = [dict(GOOD) for _ in WINDOWS.new_frames(FRAMES)[1:]]
    joins[4] = {"by": "cameras", "residual": None}
    moves = moves_of(film, WINDOWS, joins, last)
    steps = np.abs(np.diff([math.log(move.scale) for move in moves]))
    assert steps.argmax() == 4
    assert steps[4] > 0.9 * steps.sum()


# --- films on disk --------------------------------------------------------------------------------------------------


class Told:
    """What stands for the network in `predict_film`: errors per window as planted, the truth of mixed ones."""

    def __init__(self, exact: Prediction) -> None:
        self.exact = exact
        self.dies_at = 0
        self.asked = 0

    def predict(self, model: object, frames: LoadedImages, **options: object) -> Prediction:
        start = self.exact.frame_names.index(frames.names[0])
        errors = PlantedErrors(0.02, 0.01)
        return plant_errors(self.exact[start : start + len(frames)], errors, np.random.default_rng(start))

    def mixed_by(self, *model: object) -> Callable[[Prediction, Prediction], Prediction]:
        def mixed(earlier: Prediction, later: Prediction) -> Prediction:
            self.asked += 1
            if self.asked == self.dies_at:
                raise KeyboardInterrupt
            return oracle(self.exact, self.exact.frame_names.index(later.frame_names[0]))(earlier, later)

        return mixed


def images_of(exact: Prediction) -> LoadedImages:
    images = torch.from_numpy(exact.images).permute(0, 3, 1, 2).float() / 255
    return LoadedImages(
        images, exact.original_hw, exact.box_in_original, exact.frame_names, np.asarray(exact.timestamps_s)
    )


@pytest.fixture
def told(walk: Prediction, monkeypatch: pytest.MonkeyPatch) -> Told:
    found = Told(walk)
    monkeypatch.setattr(films, "predict", found.predict)
    monkeypatch.setattr(films, "mixed_by", found.mixed_by)
    return found


def test_a_film_is_corrected_where_it_is_read(told: Told, walk: Prediction, tmp_path: Path) -> None:
    plain = predict_film(little_model(), images_of(walk), tmp_path / "plain", replace(WINDOWS, loops=False))
    film = predict_film(little_model(), images_of(walk), tmp_path / "film", WINDOWS)
    for ours, theirs in zip(film.files, plain.files, strict=True):
        assert ours.path.read_bytes() == theirs.path.read_bytes()  # no file is written again
    closed = [loop for loop in film.meta["loops"] if loop["closed"]]
    assert len(closed) >= 4
    assert film.meta["windows"] == {"frames": 16, "overlap": 4, "loops": True}
    whole = film.load()
    parts = [told.predict(None, images_of(walk)[i : i + 16]) for i in WINDOWS.starts(FRAMES)]
    joined = join_windows(parts, WINDOWS.starts(FRAMES), {})
    in_memory, _ = with_loops_closed(joined, WINDOWS, joined.meta["joins"], told.mixed_by())
    same_bits(whole, in_memory)
    same_bits(film[37:90:3], whole[37:90:3])
    same_bits(concatenated(list(film.parts())), whole)
    assert not np.array_equal(whole.depth, plain.load().depth)


@pytest.mark.parametrize("dies_at", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_run_killed_in_the_correction_begins_it_again(
    told: Told, walk: Prediction, tmp_path: Path, dies_at: int
) -> None:
    whole = predict_film(little_model(), images_of(walk), tmp_path / "whole", WINDOWS)
    told.asked, told.dies_at = 0, dies_at
    with pytest.raises(KeyboardInterrupt):
        predict_film(little_model(), images_of(walk), tmp_path / "torn", WINDOWS)
    left = StoredPrediction.open(tmp_path / "torn")
    assert (len(left), left.finished) == (FRAMES, False)
    assert all(part.move is None for part in left.files)
    told.dies_at = 0
    again = predict_film(little_model(), images_of(walk), tmp_path / "torn", WINDOWS)
    assert again.finished
    same_bits(again.load(), whole.load())
    assert again.meta == whole.meta


def test_a_film_without_a_loop_has_the_bits_of_plain_windows(tmp_path: Path) -> None:
    images = torch.rand(11, 3, 32, 64, generator=torch.Generator().manual_seed(0))
    model, windows = little_model(), Windows(4, 1)
    frames = [predict(model, images, windows=replace(windows, loops=loops)) for loops in (False, True)]
    same_bits(frames[0], frames[1])
    assert all(not loop["closed"] for loop in frames[1].meta["loops"])
    assert "loops" not in frames[0].meta


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda moves: moves[:-1], "moves 1 parts, the folder has 2"),
        (lambda moves: [{**moves[0], "scale": 0}, *moves[1:]], "a scale that is not positive"),
        (lambda moves: [{**moves[0], "rotation": [1, 2]}, *moves[1:]], r"expected \(3, 3\)"),
        (lambda moves: [{"scale": 1}, *moves[1:]], "is damaged"),
    ],
)
def test_damaged_moves_are_told(tmp_path: Path, change: Callable[[list[Any]], list[Any]], words: str) -> None:
    predict_film(little_model(), as_frames(torch.rand(5, 3, 32, 32), little_model()), tmp_path, Windows(4, 1))
    write_film_file(tmp_path, {}, finished=True, moves=[move_of(similarity(2.0))] * 2)
    assert StoredPrediction.open(tmp_path)[:1].depth.min() > 0
    text = json.loads((tmp_path / FILM_FILE).read_text(encoding="utf-8"))
    assert text["format"] == 2
    text["moves"] = change(text["moves"])
    (tmp_path / FILM_FILE).write_text(json.dumps(text), encoding="utf-8")
    with pytest.raises(UserError, match=words):
        StoredPrediction.open(tmp_path)


def test_a_move_comes_back_from_a_file_whole(walk: Prediction) -> None:
    move = move_of(similarity(1 / 3, (0.1, 0.2, 0.3), (1e-9, 2, 3)))
    same_bits(Move.of(json.loads(json.dumps(move.record())))(walk[:2]), move(walk[:2]))


def test_loop_records_are_plain(walk: Prediction) -> None:
    loop: Loop = loops_of(walk, WINDOWS, oracle(walk))[-1]
    record = loop.record()
    assert json.loads(json.dumps(record)) == record
