"""Draw clips of a dataset, measure them, judge them, and write what there is to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from page4d.check import pictures
from page4d.check.measure import Measurements, measure
from page4d.check.verdict import LEVELS, Diagnosis, Finding, Level, diagnose, judge, verdict
from page4d.counted import counted
from page4d.data.mixing import Ingredient, Sequences, choose_tracks
from page4d.data.sampling import Window, WindowRule, generator
from page4d.data.transforms import Framing, image_hw
from page4d.io.video import encode_video
from page4d.schema import Clip, UserError


@dataclass(frozen=True)
class CheckSettings:
    """How much is looked at: clips of so many frames at this width in pixels, pictures of the first `show`.

    Note:    `wide` is the factor between the strides of even and odd clips: neighbouring frames show a depth map that
             is paired with the wrong one, distant frames have the parallax that shows a wrong scale.
    """

    clips: int = 6
    frames: int = 8
    width: int = 256
    show: int = 2
    tracks: int = 64
    wide: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clips < 1 or self.frames < 2 or self.width < 16 or self.show < 0 or self.wide < 1:
            raise UserError(f"{self}: expected at least 1 clip of 2 frames, 16 pixels wide, and no negative number")


@dataclass(frozen=True)
class Sample:
    """One clip that is shown, with the files made of it."""

    clip: Clip
    depth: bytes
    tracks: bytes | None
    video: bytes
    clouds: tuple[Path, ...] = ()


@dataclass(frozen=True)
class DatasetReport:
    """All that is known about one dataset of the configuration."""

    name: str
    about: str
    numbers: Measurements
    diagnosis: Diagnosis
    findings: tuple[Finding, ...]
    samples: tuple[Sample, ...] = field(repr=False)

    @property
    def verdict(self) -> Level:
        """The worst finding's level."""
        return verdict(self.findings)


def _window(numbers: Sequence[int], rule: WindowRule, settings: CheckSettings, number: int) -> Window:
    rng = generator(settings.seed, "check", number)
    nearest = min(rule.strides)
    stride = nearest * settings.wide if number % 2 and rule.ordered else nearest
    fits = stride * (settings.frames - 1) <= numbers[-1] - numbers[0]
    return replace(rule, strides=(stride if fits else nearest,)).draw(numbers, settings.frames, rng)


def draw_clips(one: Ingredient, settings: CheckSettings) -> list[Clip]:
    """Clips at alternating strides from sequences spread over the dataset, framed to one size, no frame twice."""
    names = one.dataset.sequences
    clips: list[Clip] = []
    for number in range(settings.clips):
        # Two clips of a sequence, one at each stride; sequences from all over the dataset.
        pair, pairs = number // 2, -(-settings.clips // 2)
        name = names[pair * len(names) // pairs if len(names) > pairs else pair % len(names)]
        window = _window(one.dataset.frame_numbers(name), one.windows, settings, number)
        clip = one.dataset.load(name, list(dict.fromkeys(window.frames)))
        clips.append(_framed(clip, one.framing, settings, number, clips))
    return clips


def _framed(clip: Clip, framing: Framing, settings: CheckSettings, number: int, before: Sequence[Clip]) -> Clip:
    height, width = image_hw(before[0]) if before else _size(clip, settings)
    framed = replace(framing, zoom=(1.0, 1.0)).apply(clip, (height, width))
    return (
        choose_tracks(framed, settings.tracks, generator(settings.seed, "tracks", number))
        if clip.tracks is not None
        else framed
    )


def _size(clip: Clip, settings: CheckSettings) -> tuple[int, int]:
    height, width = image_hw(clip)
    scale = min(1.0, settings.width / width)
    return max(2, round(height * scale)), max(2, round(width * scale))


def describe(dataset: Sequences) -> str:
    """How many sequences and frames there are."""
    counts = [len(dataset.frame_numbers(name)) for name in dataset.sequences]
    return f"{counted(len(counts), 'sequence')}, {sum(counts):,} frames"


def inspect(name: str, one: Ingredient, folder: Path, settings: CheckSettings | None = None) -> DatasetReport:
    """Check one dataset and write its pictures into `folder`, which must exist.

    Note:    what is known to be wrong with the dataset's own truth (its `remarks`) is told as well.
    Raises:  UserError if the dataset is empty or its files cannot be read.
    """
    settings = settings or CheckSettings()
    if not one.dataset.sequences:
        raise UserError(f"{name} has no sequence to look at")
    clips = draw_clips(one, settings)
    numbers, found = measure(clips), diagnose(clips)
    known = [Finding("warn", "known faults", text) for text in getattr(one.dataset, "remarks", [])]
    findings = tuple(sorted([*known, *judge(numbers, found, clips[0].metric)], key=lambda f: LEVELS.index(f.level)))
    span = (numbers.depth_percentiles[0], numbers.depth_percentiles[2])
    samples = tuple(_sample(clip, folder, f"{name}_{i}", span) for i, clip in enumerate(clips[: settings.show]))
    return DatasetReport(name, describe(one.dataset), numbers, found, findings, samples)


def _sample(clip: Clip, folder: Path, stem: str, span: tuple[float, float]) -> Sample:
    depth = pictures.encode_png(pictures.depth_picture(clip, 0, span))
    tracks = None if clip.tracks is None else pictures.encode_png(pictures.tracks_picture(clip))
    video = encode_video(pictures.video_frames(clip, span))
    for suffix, data in (("depth.png", depth), ("tracks.png", tracks), ("frames.mp4", video)):
        if data is not None:
            pictures.save(folder / f"{stem}_{suffix}", data)
    return Sample(clip, depth, tracks, video, tuple(pictures.write_clouds(clip, folder, stem)))
