"""The release number, alone in a file so that `page4d --version` imports nothing else."""

from functools import cache
from pathlib import Path

__version__ = "0.1.0"


@cache
def code_revision() -> str:
    """`git describe` of the checkout this package runs from, else the release number."""
    import subprocess

    root = Path(__file__).parent.parent
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--tags"]
        try:
            described = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return __version__  # a checkout without git, or owned by somebody else
        return f"{__version__}+{described}"
    return __version__
