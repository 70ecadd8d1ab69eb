"""Profiles of the book: `ci` runs small on any computer, `gpu` runs the released networks on real data."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from page4d.book.chapters import Chapter
from page4d.io.weight_files import RELEASED, find_weights
from page4d.places import MOST_TEXT, bytes_of, free_bytes, no_file
from page4d.schema import UserError
from page4d.settings import did_you_mean

CI = "ci"
PLACE = re.compile(r"\{(\w+)\}")
WEIGHTS = frozenset({"weights", "vggt", "page4d_weights"})


@dataclass(frozen=True)
class Needs:
    """What a chapter needs under a profile.

    Units:   gpu_gb is memory of one GPU; minutes are an estimate on one GPU, marked as such wherever it is shown.
    """

    weights: tuple[str, ...] = ()
    gpu_gb: float = 0.0
    minutes: float = 1.0


@dataclass(frozen=True)
class Profile:
    """Parameters of chapters, with places such as `{sintel}` for the user's paths, and what each chapter needs.

    Note:    `reasons` says of chapters without parameters why they run as they are.
    """

    name: str
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needs: Mapping[str, Needs] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def made_by(self, chapter: str) -> str:
        """The profile that a chapter's figures are made by: `ci` where this one changes nothing."""
        return self.name if self.parameters.get(chapter) else CI

    def places(self, chapter: str) -> list[str]:
        """The names of folders and files that a chapter wants to be told."""
        texts = [str(value) for value in self.parameters.get(chapter, {}).values()]
        return sorted({name for text in texts for name in PLACE.findall(text)})

    def changed_by(self, given: Mapping[str, Mapping[str, Any]]) -> Profile:
        """What will run where chapters get other values than the profile's: other weights, and no GPU on device cpu."""
        names = dict.fromkeys((*self.parameters, *given))
        parameters = {name: {**self.parameters.get(name, {}), **given.get(name, {})} for name in names}
        needs = {}
        for name, wanted in self.needs.items():
            asked, new = given.get(name, {}), parameters.get(name, {})
            weights = wanted.weights
            if weights and asked.keys() & WEIGHTS:
                weights = tuple(",".join(str(new[key]) for key in sorted(WEIGHTS & new.keys())).split(","))
            gpu_gb = 0.0 if asked.get("device") == "cpu" else wanted.gpu_gb
            needs[name] = Needs(weights, gpu_gb, wanted.minutes)
        return Profile(self.name, parameters, needs, self.reasons)

    def written(self, chapters: Iterable[str]) -> set[str]:
        """The places that these chapters write into, which need not be there before."""
        texts = [str(self.parameters.get(name, {}).get("out", "")) for name in chapters]
        return {name for text in texts for name in PLACE.findall(text)}

    def filled(self, chapter: str, paths: Mapping[str, str]) -> dict[str, Any]:
        """A chapter's parameters with the user's paths in their places."""
        given = self.parameters.get(chapter, {})
        return {name: value.format(**paths) if isinstance(value, str) else value for name, value in given.items()}


def read_profile(root: Path, name: str, chapters: Sequence[Chapter]) -> Profile:
    """A profile by name; `ci` is the chapters as they are, the others are files `book/profiles/NAME.yaml`.

    Raises:  UserError for an unknown profile, chapter or parameter.
    """
    if name == CI:
        return Profile(CI)
    folder = root / "book" / "profiles"
    known = [CI, *sorted(path.stem for path in folder.glob("*.yaml"))]
    if name not in known:
        raise UserError(f"no profile {name!r}; choose one of {', '.join(known)}")
    content = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    _check_names(content, {chapter.name: chapter for chapter in chapters})
    needs = {chapter: _needs(entry.get("needs", {})) for chapter, entry in content.items()}
    reasons = {chapter: str(entry["as_it_is"]) for chapter, entry in content.items() if "as_it_is" in entry}
    return Profile(name, {chapter: entry.get("parameters", {}) for chapter, entry in content.items()}, needs, reasons)


def _needs(entry: Mapping[str, Any]) -> Needs:
    return Needs(tuple(entry.get("weights", ())), float(entry.get("gpu_gb", 0)), float(entry.get("minutes", 1)))


def _check_names(content: Mapping[str, Any], chapters: Mapping[str, Chapter]) -> None:
    for name, entry in content.items():
        if name not in chapters:
            raise UserError(
                f"a profile names the chapter {name!r}, which is not there{did_you_mean(name, list(chapters))}"
            )
        if bool(entry.get("parameters")) == ("as_it_is" in entry):
            raise UserError(
                f"a profile says of {name} {sorted(entry)}; it gives either parameters or as_it_is, a reason"
            )
        known = chapters[name].parameters
        for parameter in entry.get("parameters", {}):
            if parameter not in known:
                hint = did_you_mean(parameter, list(known))
                raise UserError(f"a profile gives {name} the parameter {parameter!r}, which it does not have{hint}")


def read_paths(file: Path | None) -> dict[str, str]:
    """The user's file of paths: one YAML mapping of names to folders, files or addresses.

    Raises:  UserError if it is not readable or not such a mapping.
    """
    if file is None:
        return {}
    if not file.is_file():
        raise UserError(f"cannot read the paths: {no_file(file)}; expected a YAML file")
    try:
        content = yaml.safe_load(bytes_of(file, MOST_TEXT))  # YAML finds out the coding itself
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"cannot read the paths in {file}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise UserError(f"{file} holds {type(content).__name__}; expected lines like `sintel: /data/sintel`")
    return {str(name): os.path.expanduser(value) for name, value in content.items()}


def missing(
    profile: Profile,
    chapter: str,
    paths: Mapping[str, str],
    memory_gb: Sequence[float],
    written: Collection[str] = (),
) -> Iterator[str]:
    """What a chapter lacks under a profile, one thing each: paths not told or not there, weights, GPU memory.

    Note:    `written` are places that the build makes itself.
    """
    for place in profile.places(chapter):
        if place not in paths:
            yield f"the path {place!r} is not in the file of paths"
        elif place not in written and not Path(paths[place]).exists():
            yield f"{place}: {paths[place]} does not exist"
    needs = profile.needs.get(chapter, Needs())
    for weights in needs.weights:
        if not _at_hand(weights):
            yield f"weights {weights!r} are not downloaded: page4d download {weights}"
    if needs.gpu_gb and max(memory_gb, default=0.0) < needs.gpu_gb:
        best = f"the largest here has {max(memory_gb):.0f} GB" if memory_gb else "there is none here"
        yield f"a GPU with {needs.gpu_gb:.0f} GB; {best}"


def _at_hand(weights: str) -> bool:
    options = {"local_files_only": True} if weights in RELEASED else {}
    try:
        find_weights(weights, **options)
    except UserError:
        return False
    return True


def plan_text(
    profile: Profile, chapters: Sequence[Chapter], paths: Mapping[str, str], memory_gb: Sequence[float], out: Path
) -> tuple[str, bool]:
    """What a build under a profile would run, what is missing and how long it takes; and whether it can begin."""
    lines, ready, minutes = [f"profile {profile.name}, {len(chapters)} chapters", ""], True, 0.0
    written = profile.written(chapter.name for chapter in chapters)
    for chapter in chapters:
        lacks = list(missing(profile, chapter.name, paths, memory_gb, written))
        needs = profile.needs.get(chapter.name, Needs())
        minutes += needs.minutes
        given = profile.parameters.get(chapter.name, {})
        as_it_is = ": ".join(["as it is", *filter(None, [profile.reasons.get(chapter.name)])])
        words = ", ".join(f"{name}={value}" for name, value in given.items()) or as_it_is
        lines.append(f"{'ready  ' if not lacks else 'MISSING'} {chapter.name}: {words}; about {needs.minutes:g} min")
        lines += [f"          - {lack}" for lack in lacks]
        ready &= not lacks
    cards = ", ".join(f"{size:.0f} GB" for size in memory_gb) or "none"
    free = free_bytes(Path(os.path.realpath(out))) / 1e9
    lines += ["", f"GPUs: {cards}; estimated {minutes:.0f} min on one; {free:.0f} GB free for {out}"]
    return "\n".join(lines), ready


def gpu_memory_gb() -> list[float]:
    """Memory of every GPU of this machine."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_properties(index).total_memory / 1e9 for index in range(count)]
