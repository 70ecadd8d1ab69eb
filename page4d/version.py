"""The release number, alone in a file so that `page4d --version` imports nothing else."""

from functools import cache
from pathlib import Path

__version__ = "0.1.0"


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
        return git("rev-parse", "HEAD") + ("-changed" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return f"page4d {__version__}"  # a checkout without git, or owned by somebody else
