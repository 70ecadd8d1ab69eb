"""`make lab` starts JupyterLab with this: chapters are saved without outputs."""

from page4d.book.lab import strip_outputs

c = get_config()  # noqa: F821  (Jupyter puts it there)
c.ContentsManager.pre_save_hook = strip_outputs
