"""The same sequences at several numbers of frames and frame rates."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
from little_benchmarks import WORLD, micro, small

from page4d.evaluate import density, lengths_figure, read_result, stored_results
from page4d.evaluate.density import Density, study_at
from page4d.evaluate.harness import Study
from page4d.schema import UserError
from page4d.viz.scores import Curve, density_panels


@pytest.fixture
def study(tmp_path) -> Study:
    benchmark = small("videodepth", sequences=2)
    return Study(replace(benchmark, settings=benchmark.settings | {"world": WORLD | {"frames": 5}}), out=tmp_path)


def test_what_fits_into_no_sequence_is_left_out_and_all_are_of_the_same_sequences():
    held, names = Density((2, 4, 8), (1, 3)).of({"short": 3, "long": 8})
    assert held == [(2, 1), (4, 1), (8, 1), (2, 3)]
    assert names == ("long",)
    with pytest.raises(UserError, match="longest sequence has 3 frames"):
        Density((4,), (1,)).of({"short": 3})
    with pytest.raises(UserError, match="whole numbers of 1 or more"):
        Density((0,), (1,))


def test_frames_are_the_first_of_every_so_many(study):
    thin = study_at(study, 2, 3, ("scene_00",))
    (sequence,) = thin.sequences()
    assert [path.name for path in sequence.images] == ["frame_0001.png", "frame_0004.png"]
    assert thin.predictions("m") != study.predictions("m")
    assert thin.benchmark.name == "videodepth-synthetic-first2-every3"


def test_one_command_makes_a_table_and_a_picture(study, tmp_path):
    found = density.measure_density(study, micro(), "micro", Density((2, 4), (1, 2)))
    assert list(found) == [(2, 1), (4, 1), (2, 2)]
    assert all(scores.sequences[0].notes["frames_in"] == frames for (frames, _), scores in found.items())
    table = density.density_table(found)
    assert table["frames"].tolist() == [2, 4, 2]
    assert table["AbsRel"].tolist() == [scores.mean["abs_rel"] for scores in found.values()]
    assert (table["AbsRel low"] <= table["AbsRel"]).all()
    paths = density.write(found, tmp_path / "tables" / "density")
    assert [path.suffix for path in paths] == [".md", ".csv", ".tex", ".png"]
    assert paths[-1].read_bytes()[:4] == b"\x89PNG"


def test_a_curve_is_drawn_where_its_points_are():
    curve = Curve("every frame", [2, 4, 8], [(0.3, 0.2, 0.4), (0.2, 0.1, 0.3), (0.1, 0.05, 0.15)])
    figure = density_panels({"AbsRel": [curve], "seconds": [curve]})
    (line,) = figure.axes[0].lines
    assert line.get_xdata().tolist() == [2, 4, 8]
    assert line.get_ydata().tolist() == [0.3, 0.2, 0.1]
    plt.close("all")


def test_exams_are_drawn_over_the_number_of_frames_beside_a_guess():
    exams = [read_result(stored_results("builtin") / f"{name}.json") for name in ("vggt-tiny", "page4d-tiny")]
    figure = lengths_figure(exams)
    rotation, path = figure.axes[1], figure.axes[3]
    assert [line.get_label() for line in rotation.lines] == ["vggt-tiny", "page4d-tiny", "no network"]
    stored = [part["mean"]["relative_rotation"] for part in exams[1]["frames"].values()]
    assert rotation.lines[1].get_ydata().tolist() == stored
    assert path.lines[0].get_xdata().tolist() == [8, 16, 32], "of fewer frames there is no ATE"
    plt.close("all")
