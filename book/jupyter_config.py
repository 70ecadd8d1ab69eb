"""`make lab` starts JupyterLab with this: chapters are opened in words and saved without outputs."""

from page4d.book.lab import chapters_manager, strip_outputs

c = get_config()  # noqa: F821  (Jupyter puts it there)
c.ServerApp.contents_manager_class = chapters_manager()
c.ContentsManager.pre_save_hook = strip_outputs
