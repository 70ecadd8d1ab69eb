"""One HTML page without anything from outside: verdicts, findings, numbers, pictures and videos."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from page4d.check import pictures
from page4d.check.inspect import DatasetReport, Sample
from page4d.check.measure import Measurements
from page4d.check.verdict import Finding, explains
from page4d.schema import atomic_write

WORDS = {"pass": "pass", "unknown": "not decided", "warn": "look at this", "fail": "wrong"}
STYLE = """
:root{color-scheme:light dark;--ink:#1c1f24;--paper:#fff;--soft:#5b6370;--line:#d5d9e0;--stripe:#f4f6f9;--link:#1d4fb8;
--bar:#2b62c4;--track:#dfe3ea}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--paper:#14171c;--soft:#a3abb8;--line:#333a44;--stripe:#1b2027;
--link:#8ab4ff;--bar:#6f9df0;--track:#333a44}}
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem;color:var(--ink);
background:var(--paper)}
h1{font-size:1.6rem;margin-bottom:.3rem} h2{margin-top:2.5rem;border-top:1px solid var(--line);padding-top:1.2rem}
a{color:var(--link)} .unit,figcaption,.about{color:var(--soft)}
table{border-collapse:collapse;margin:.8rem 0;width:100%} tr{border-bottom:1px solid var(--line)}
td,th{padding:.35rem .9rem .35rem .5rem;text-align:left;vertical-align:top} th{font-weight:600}
table.numbers tr:nth-child(odd),table.scores tr:nth-child(odd){background:var(--stripe)}
td.n{font-variant-numeric:tabular-nums;text-align:right;white-space:nowrap} td.w{width:35%}
.badge{display:inline-block;padding:.05rem .6rem;border-radius:1rem;color:#fff;font-size:.9rem;white-space:nowrap;
font-weight:600}
.pass{background:#1a7f43}.unknown{background:#5b6370}.warn{background:#a15c00}.fail{background:#b42318}
figure{margin:1rem 0} figcaption{font-size:.9rem;margin-top:.3rem}
img,video{max-width:100%;border-radius:4px;display:block}
.row{display:flex;gap:1rem;flex-wrap:wrap} .row figure{flex:1 1 300px} .row img,.wide img,video{width:100%}
.bar{background:var(--track);height:.7rem;min-width:180px;border-radius:.35rem;margin-top:.4rem}
.bar i{display:block;height:100%;border-radius:.35rem;background:var(--bar)}.bar i.better{background:#d0463b}
@media print{body{max-width:none;margin:0}figure{break-inside:avoid}}
"""


Row = tuple[str, str, str]


def _numbers(m: Measurements) -> list[Row]:
    """Rows of name, value and unit."""
    return [*_about_depth(m), *_about_agreement(m), *_about_cameras(m)]


def _about_depth(m: Measurements) -> list[Row]:
    low, middle, high = m.depth_percentiles
    return [
        (
            "Pixels with depth",
            f"{100 * m.valid_share:.1f} %",
            f"{100 * m.valid_share_least:.1f} % in the emptiest frame",
        ),
        ("Depth, 1st / 50th / 99th percentile", f"{low:.3g} / {middle:.3g} / {high:.3g}", "scene units"),
    ]


def _about_agreement(m: Measurements) -> list[Row]:
    agreeing = f"{100 * m.agreeing_of_landed:.1f} % of those that land"
    return [
        ("Static pixels that land in the other frame", f"{100 * m.landed_share:.1f} %", "of those with depth"),
        ("... and agree there in depth and colour", f"{100 * m.agreeing_share:.1f} %", agreeing),
        ("Reprojection error, there and back", f"{m.reprojection_px:.2f}", "pixels, median"),
        ("Depth error in the other frame", f"{100 * m.depth_error_relative:.2f} %", "of depth, median"),
        ("Colour error in the other frame", f"{m.colour_error:.3f}", "of full range, median"),
    ]


def _about_cameras(m: Measurements) -> list[Row]:
    step = f"scene units, median; the largest is {m.jump:.1f} times that"
    turn = f"degrees, median; the largest is {m.largest_turn_deg:.1f}"
    x, y = m.centre
    return [
        ("Camera step between frames", f"{m.step:.3g}", step),
        ("Camera turn between frames", f"{m.turn_deg:.2f}", turn),
        ("R R^T differs from I by", f"{m.rotation_error:.1e}", "at most"),
        ("Field of view, horizontal", f"{m.fov_deg:.1f}", "degrees"),
        ("fx / fy", f"{m.focal_ratio:.3f}", f"fx varies by {100 * m.focal_change:.1f} % within a clip"),
        ("Principal point", f"{x:.3f}, {y:.3f}", "of width, height; the middle is 0.5, 0.5"),
    ]


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _figure(content: str, caption: str) -> str:
    """A picture with its caption, which may hold links."""
    return f'<figure class="wide">{content}<figcaption>{caption}</figcaption></figure>'


def _sample(sample: Sample, numbers: Measurements) -> str:
    clip = sample.clip
    near, _, far = numbers.depth_percentiles
    frames = f"{clip.name}, frames {int(clip.frame_numbers[0])} to {int(clip.frame_numbers[-1])}"
    first = _uri(pictures.encode_png(pictures.picture(clip, 0)), "image/png")
    parts = [
        '<div class="row">',
        _figure(f'<img alt="first frame" src="{first}">', escape(f"First frame of {frames}")),
        _figure(
            f'<img alt="depth" src="{_uri(sample.depth, "image/png")}">',
            f"Its depth: red is near ({near:.3g}), blue is far ({far:.3g}), grey has none",
        ),
    ]
    if clip.moving is not None:
        moving = _uri(pictures.encode_png(pictures.moving_picture(clip, 0)), "image/png")
        share = float(clip.moving[0].float().mean())
        image = f'<img alt="moving mask" src="{moving}">'
        parts.append(
            _figure(image, f"Said to move, in red: {100 * share:.0f} % of this frame; not used to compare frames")
        )
    parts.append("</div>")
    if sample.tracks is not None:
        image = f'<img alt="tracks" src="{_uri(sample.tracks, "image/png")}">'
        parts.append(_figure(image, "Tracks visible in the first and the last frame"))
    video = f'<video controls loop muted src="{_uri(sample.video, "video/mp4")}"></video>'
    clouds = ", ".join(f'<a href="{escape(path.name)}">{escape(path.name)}</a>' for path in sample.clouds) or "none"
    parts.append(
        _figure(video, f"All frames with visible tracks, and their depth. Point clouds beside this page: {clouds}")
    )
    return "\n".join(parts)


def _badge(level: str) -> str:
    return f'<span class="badge {level}">{WORDS[level]}</span>'


def _bar(value: float, as_is: float) -> str:
    kind = ' class="better"' if explains(value, as_is) else ""
    return f'<div class="bar"><i{kind} style="width:{value:.0%}"></i></div>'


def _scores(report: DatasetReport) -> str:
    found = report.diagnosis
    rows = [("the data as they are", found.as_is)]
    for scored in (found.poses, found.scales, found.shifts):
        if scored:
            one, value = max(scored, key=lambda pair: pair[1])
            rows.append((f"if {one}", value))
    cells = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{100 * value:.0f} %</td>'
        f'<td class="w">{_bar(value, found.as_is)}</td></tr>'
        for name, value in rows
    )
    about = "The best guess of each kind of mistake, undone. Red: it explains the data clearly better."
    return (
        "<h3>Static pixels that agree between frames</h3>"
        f'<table class="scores">{cells}</table><p class="about">{about}</p>'
    )


def _cells(words: Sequence[str], *classes: str) -> str:
    """A table's row; a class for each cell that has one."""
    named = [*(f' class="{name}"' if name else "" for name in classes), *[""] * len(words)]
    cells = (f"<td{kind}>{escape(word)}</td>" for kind, word in zip(named, words, strict=False))
    return f"<tr>{''.join(cells)}</tr>"


def _finding(finding: Finding) -> str:
    cells = f"<td>{_badge(finding.level)}</td><td>{escape(finding.check)}</td><td>{escape(finding.text)}</td>"
    return f"<tr>{cells}</tr>"


def _section(report: DatasetReport) -> str:
    findings = "".join(map(_finding, report.findings))
    numbers = "".join(_cells(row, "", "n", "unit") for row in _numbers(report.numbers))
    samples = "".join(_sample(sample, report.numbers) for sample in report.samples)
    about = f"{report.about}; looked at {report.numbers.clips} clips, {report.numbers.frames} frames"
    return (
        f'<h2 id="{escape(report.name)}">{escape(report.name)} {_badge(report.verdict)}</h2>'
        f'<p class="about">{escape(about)}</p>'
        f'<table>{findings}</table>{_scores(report)}<h3>Numbers</h3><table class="numbers">{numbers}</table>{samples}'
    )


def _row(report: DatasetReport) -> str:
    name = escape(report.name)
    link, first = f'<a href="#{name}">{name}</a>', escape(report.findings[0].text)
    return f"<tr><td>{link}</td><td>{_badge(report.verdict)}</td><td>{first}</td></tr>"


def html(reports: Sequence[DatasetReport]) -> str:
    """The page."""
    rows, sections = "".join(map(_row, reports)), "".join(map(_section, reports))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Data check</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>Data check</h1><table><tr><th>Dataset</th><th>Verdict</th><th>First finding</th></tr>{rows}</table>"
        f"{sections}</body></html>\n"
    )


def summary(reports: Sequence[DatasetReport]) -> dict[str, Any]:
    """Verdicts, findings and numbers as plain values."""
    return {report.name: _plain(report) for report in reports}


def _plain(report: DatasetReport) -> dict[str, Any]:
    findings = [asdict(finding) for finding in report.findings]
    numbers, agree = asdict(report.numbers), report.diagnosis.as_is
    return {"verdict": report.verdict, "findings": findings, "numbers": numbers, "agree_as_is": agree}


def write_report(reports: Sequence[DatasetReport], folder: Path) -> Path:
    """Write `index.html` and `report.json` into an existing folder."""
    with atomic_write(folder / "report.json", "w") as stream:
        json.dump(summary(reports), stream, indent=1)
    path = folder / "index.html"
    with atomic_write(path, "w") as stream:
        stream.write(html(reports))
    return path
