"""Which code this is and where it runs; nothing is imported before it is asked, so `page4d --version` stays quick."""

from functools import cache
from pathlib import Path
from typing import Any

__version__ = "0.1.0"
CHANGED = "-changed"


@cache
def code_revision() -> str:
    """The git revision of the checkout this package runs from, "-changed" if its files differed; else the release.

    Note:  one text for predictions, scores, runs and weights, so that they can be compared.
    """
    import subprocess

    package = Path(__file__).parent
    if not (package.parent / ".git").exists():
        return f"page4d {__version__}"

    def git(*words: str) -> str:
        command = ["git", "-C", str(package), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", ".")
        return git("rev-parse", "HEAD") + (CHANGED if changed else "")
    except (OSError, subprocess.SubprocessError):
        return f"page4d {__version__}"  # a checkout without git, or owned by somebody else


def short_revision(revision: str) -> str:
    """A revision as tables and cards show it: twelve digits, and whether files had been changed."""
    digits, mark, _ = revision.partition(CHANGED)
    return digits[:12] + mark


def provenance() -> dict[str, Any]:
    """Where and when something was made: code revision, versions, hardware, date."""
    import os
    from datetime import UTC, datetime

    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "code_revision": code_revision(),
        "page4d": __version__,
        "torch": str(torch.__version__),
        "hardware": gpu or f"{os.cpu_count()} CPU cores, {processor()}",
        "date": datetime.now(UTC).date().isoformat(),
    }


def processor() -> str:
    """The processor by its model, or its kind where the system tells no more."""
    import platform

    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    found = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor() or platform.machine()
