"""The release number, alone in a file so that `page4d --version` imports nothing else."""

__version__ = "0.1.0"
