"""From numbers to findings: what is wrong with a dataset, in words, and what could not be judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from page4d.check.consistency import edge_alignment, scores, shift_gain
from page4d.check.hypotheses import DEPTH_SHIFTS, NOTHING, POSE_MISTAKES, POSE_SHIFTS, SCALE_MISTAKES, Hypothesis
from page4d.check.measure import Measurements
from page4d.schema import Clip

Level = Literal["fail", "warn", "unknown", "pass"]
LEVELS: tuple[Level, ...] = ("fail", "warn", "unknown", "pass")
# A hypothesis must explain this much more of the static pixels than the data as they are, and either this many times
# as much or leave less than this share of the disagreement. On clean synthetic clips the
# best wrong one explained less than the data themselves, and undoing a planted mistake gained 0.1 or more (tests).
GAIN, RATIO, LEFT = 0.06, 1.1, 0.5
TIE = 0.02
# Real depth maps and poses are never clean, so a shift can explain little and still be there. It is worth a look if it
# gains this much, and so many standard errors of the gain over frame pairs.
SLIGHT, STANDARD_ERRORS = 0.03, 3.0
EDGE_SHIFTS = (1, -1, 2, -2)
EDGE_RATIO, EDGE_CONTRAST = 1.3, 1.5


@dataclass(frozen=True)
class Finding:
    """One sentence about a dataset, and how much it matters."""

    level: Level
    check: str
    text: str


@dataclass(frozen=True)
class Diagnosis:
    """Scores of the data as they are and under every hypothesis, and the alignment of depth with image edges.

    Note:    a shift's score is that of the data as they are and its gain over the same frames, whose standard error
             is in `errors`.
    """

    as_is: float
    poses: tuple[tuple[Hypothesis, float], ...]
    scales: tuple[tuple[Hypothesis, float], ...]
    shifts: tuple[tuple[Hypothesis, float], ...]
    edges: dict[int, float]
    errors: dict[Hypothesis, float] = field(default_factory=dict)


def diagnose(clips: Sequence[Clip]) -> Diagnosis:
    """Score the clips under every known mistake; clips of fewer than 2 frames cannot be compared and are left out."""
    usable = [clip for clip in clips if len(clip) > 1]
    as_is, *values = scores(usable, [NOTHING, *POSE_MISTAKES, *SCALE_MISTAKES])
    poses = tuple(zip(POSE_MISTAKES, values, strict=False))
    scales = tuple(zip(SCALE_MISTAKES, values[len(poses) :], strict=True))
    if explains(_best(scales)[1], as_is):
        scales += _finer(usable, _best(scales)[0].depth_scale)
    tried = ((one, shift_gain(usable, one)) for one in (*DEPTH_SHIFTS, *POSE_SHIFTS))
    gains = {one: gain for one, gain in tried if gain is not None}
    # The gain is measured on fewer frames than the score it is added to: together they could exceed all pixels.
    shifts = tuple((one, min(1.0, as_is + gain.more)) for one, gain in gains.items())
    longest = max((len(clip) for clip in usable), default=0)
    edges = {k: edge_alignment(usable, k) for k in (0, *EDGE_SHIFTS) if longest > abs(k) + 1}
    return Diagnosis(as_is, poses, scales, shifts, edges, {one: gain.error for one, gain in gains.items()})


def _finer(clips: Sequence[Clip], best: float) -> tuple[tuple[Hypothesis, float], ...]:
    """Scales between the best of the coarse ones and its neighbours, so that a finding can name the factor."""
    near = [Hypothesis(depth_scale=best * 2 ** (k / 10)) for k in range(-4, 5) if k]
    return tuple(zip(near, scores(clips, near), strict=True))


def _best(scored: Sequence[tuple[Hypothesis, float]]) -> tuple[Hypothesis, float]:
    return max(scored, key=lambda pair: pair[1], default=(NOTHING, 0.0))


def _middle(scored: Sequence[tuple[Hypothesis, float]]) -> tuple[Hypothesis, float]:
    """Of the scales that explain as much as the best one the middle, as several do where there is little parallax."""
    top = max(value for _, value in scored)
    equal = sorted((pair for pair in scored if pair[1] >= top - TIE / 2), key=lambda pair: pair[0].depth_scale)
    return equal[len(equal) // 2]


def explains(value: float, as_is: float) -> bool:
    """Whether a hypothesis at which this share agrees is clearly better than the data as they are."""
    clearly = value > RATIO * as_is or 1 - value < LEFT * (1 - as_is)
    return value > as_is + GAIN and clearly


def _mistakes(found: Diagnosis) -> list[Finding]:
    """The mistake that explains most, with those that explain as much."""
    names = {"poses": found.poses, "depth scale": found.scales, "pairing": found.shifts}
    best = {name: _best(scored) for name, scored in names.items()} | {"depth scale": _middle(found.scales)}
    top = max(value for _, value in best.values())
    findings = []
    for name, (hypothesis, value) in best.items():
        if explains(value, found.as_is) and value >= top - TIE:
            others = [str(one) for one, v in names[name] if one != hypothesis and v >= value - TIE]
            near = f" The same would be explained if {' or '.join(others[:3])}." if others and name == "poses" else ""
            findings.append(Finding("fail", name, _tell(hypothesis, value, found.as_is) + near))
    return findings or _shifted_edges(found) or _slight_shift(found)


def _tell(hypothesis: Hypothesis, value: float, as_is: float) -> str:
    return (
        f"It looks as if {hypothesis}. With that undone, {100 * value:.0f} % of the static pixels agree between "
        f"frames; with the data as they are, {100 * as_is:.0f} %."
    )


def _slight_shift(found: Diagnosis) -> list[Finding]:
    """A shift of depth maps or poses that gains little, but surely so."""
    hypothesis, value = _best(found.shifts)
    gain = value - found.as_is
    if gain < SLIGHT or gain < STANDARD_ERRORS * found.errors[hypothesis]:
        return []
    error = 100 * found.errors[hypothesis]
    told = f" The gain of {100 * gain:.1f} % has a standard error of {error:.1f} % over pairs of frames."
    return [Finding("warn", "pairing", _tell(hypothesis, value, found.as_is) + told)]


def _shifted_edges(found: Diagnosis) -> list[Finding]:
    """A shift that the poses cannot show (the camera stands still) but the edges of moving things do."""
    shift = max(found.edges, key=lambda k: found.edges[k])
    score_of = {one.depth_shift: value for one, value in found.shifts if one.depth_shift}
    clear = found.edges[shift] > max(EDGE_CONTRAST, EDGE_RATIO * found.edges[0])
    if shift == 0 or not clear or score_of.get(shift, 0.0) < found.as_is - TIE:
        return []
    text = f"It looks as if {Hypothesis(depth_shift=shift)}: their edges lie on image edges of the other frame"
    return [
        Finding(
            "fail", "pairing", f"{text} ({found.edges[shift]:.2f} times the mean gradient, here {found.edges[0]:.2f})."
        )
    ]


def _undecided(found: Diagnosis) -> list[Finding]:
    findings = []
    direction = dict(found.poses)[Hypothesis(inverted=True)]
    if direction > found.as_is - TIE:
        text = "The cameras move too little to tell the direction of the poses and their axes."
        findings.append(Finding("unknown", "poses", text))
    far = [value for one, value in found.scales if one.depth_scale in (0.25, 4.0)]
    if min(far) > found.as_is - TIE:
        text = "The cameras' parallax is too small to judge the scale of depth against the poses."
        findings.append(Finding("unknown", "depth scale", text))
    return findings


def _about_depth(m: Measurements) -> Iterator[Finding]:
    if m.valid_share == 0:
        yield Finding("fail", "depth", "No pixel has depth.")
        return
    if m.valid_share < 0.02:
        yield Finding("warn", "depth", f"Less than 2 % of the pixels have depth ({100 * m.valid_share:.2f} %).")
    if m.valid_share_least == 0:
        yield Finding("warn", "depth", "Some frame has no depth at all.")


def _about_cameras(m: Measurements) -> Iterator[Finding]:
    if m.rotation_error > 1e-3:
        text = f"The 3 x 3 blocks of the poses are not rotations: R R^T differs from I by up to {m.rotation_error:.3g}."
        yield Finding("fail", "poses", text)
    if m.jump > 20:
        text = f"A camera jumps: its largest step is {m.jump:.0f} times the median step."
        yield Finding("warn", "poses", text)
    if m.largest_turn_deg > 45:
        yield Finding("warn", "poses", f"A camera turns by {m.largest_turn_deg:.0f} degrees between two frames.")
    if not 10 < m.fov_deg < 140:
        yield Finding("fail", "intrinsics", f"The horizontal field of view is {m.fov_deg:.1f} degrees.")
    if not 0.4 < m.focal_ratio < 2.5:
        yield Finding("warn", "intrinsics", f"fx / fy is {m.focal_ratio:.2f}.")
    x, y = m.centre
    if not (0.25 < x < 0.75 and 0.25 < y < 0.75):
        text = f"The principal point is far from the middle, at {x:.2f}, {y:.2f} of the image."
        yield Finding("warn", "intrinsics", text)
    if m.skew > 1e-3:
        yield Finding("warn", "intrinsics", f"K has a skew of {m.skew:.3g}, which the pose encoding drops.")


def _about_numbers(m: Measurements) -> Iterator[Finding]:
    """What the numbers alone show, without comparing frames."""
    if not m.finite:
        yield Finding("fail", "numbers", "Images, poses or intrinsics hold values that are not finite.")
    yield from _about_depth(m)
    yield from _about_cameras(m)
    if m.dullest_image < 1e-3:
        yield Finding("warn", "images", "An image is of one colour.")


def judge(numbers: Measurements, found: Diagnosis, metric: bool = True) -> list[Finding]:
    """Everything there is to say, the worst first; one `pass` finding if there is nothing."""
    findings = list(_about_numbers(numbers))
    median = numbers.depth_percentiles[1]
    if metric and numbers.valid_share > 0 and not 0.05 < median < 300:
        text = f"Depth is said to be in metres, but its median is {median:.3g}; is it in another unit?"
        findings.append(Finding("warn", "depth scale", text))
    if numbers.valid_share > 0:
        mistakes = _mistakes(found)
        findings += mistakes or _undecided(found)
        if not mistakes and found.as_is < 0.25:
            share = f"{100 * found.as_is:.0f} %"
            text = f"Only {share} of the static pixels agree between frames, and no known mistake explains it."
            findings.append(Finding("warn", "agreement", text))
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    text = (
        f"{100 * found.as_is:.0f} % of the static pixels agree between frames, "
        f"{100 * numbers.agreeing_of_landed:.0f} % of those that both frames see; "
        "no known mistake would explain the data better."
    )
    return findings or [Finding("pass", "agreement", text)]


def verdict(findings: Sequence[Finding]) -> Level:
    """The worst level among findings."""
    return min((finding.level for finding in findings), key=LEVELS.index)
