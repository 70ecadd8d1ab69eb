"""`page4d demo`: a page to upload images or a video, look at the result and take it home (optional extra: demo)."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from page4d.cli.values import DEVICE_HELP, WEIGHTS_HELP, device, weights, whole
from page4d.extras import extras_named
from page4d.schema import UserError

if TYPE_CHECKING:
    from page4d.cli.demo_jobs import DemoSettings
    from page4d.model import PAGE4D


KEEP_S = 3600  # uploads and results are deleted when they are older, looked for as often, and at the end


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page4d demo`."""
    add = parser.add_argument
    add("--weights", type=weights, default="tiny", help=WEIGHTS_HELP)
    add("--device", type=device, default=None, help=DEVICE_HELP)
    add("--host", default="127.0.0.1", help="address to listen on; the default is reachable from this machine only")
    add("--port", type=whole(1, 65_535), default=7860, help="port to listen on (default: %(default)s)")
    add("--max-upload-mb", type=whole(), default=200, help="size limit of one upload (default: %(default)s)")
    add("--max-frames", type=whole(), default=24, help="frames used of an upload (default: %(default)s)")
    add("--queue", type=whole(), default=8, help="jobs that may wait; one runs at a time (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    gradio = import_gradio()
    from page4d.cli.demo_jobs import DemoSettings
    from page4d.inference import resolve_device
    from page4d.model import PAGE4D

    check_address(args.host, args.port)
    settings = DemoSettings(args.host, args.port, args.max_upload_mb, max_frames=args.max_frames, queue_size=args.queue)
    device = resolve_device(args.device)
    model = PAGE4D.from_pretrained(args.weights, device=device)
    if settings.open_to_others:
        print(f"page4d demo: listening on {settings.host}: everyone who reaches this machine can upload to it")
    with tempfile.TemporaryDirectory(prefix="page4d-demo-") as root:
        page = build_page(gradio, model, settings, Path(root))
        page.queue(max_size=settings.queue_size, default_concurrency_limit=1)
        page.launch(**launch_options(settings))
    return 0


def check_address(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on before weights are loaded; gradio would only say that it failed.

    Raises:  UserError for a name that is no address of this machine, or a port that is taken or not allowed.
    """
    import socket

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((host, port), family=family).close()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot listen on {host} port {port}: {why}; choose another --host or --port") from error


def import_gradio() -> Any:
    """The gradio module, without its usage statistics.

    Raises:  UserError naming the extra if it is not installed.
    """
    import os

    # Read at import: nothing of a local page may be reported anywhere.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    with extras_named("the demo"):
        import gradio
    return gradio


def launch_options(settings: DemoSettings) -> dict[str, Any]:
    """How gradio serves: address and limits from the settings, never a public tunnel."""
    return {
        "server_name": settings.host,
        "server_port": settings.port,
        "max_file_size": f"{settings.max_upload_mb}mb",
        "share": False,
        "show_error": True,
    }


def build_page(gradio: Any, model: PAGE4D, settings: DemoSettings, root: Path) -> Any:
    """The page: upload on the left, viewer and downloads on the right."""
    from page4d.cli.demo_jobs import run_job

    def job(files: list[str] | None, moving: str) -> tuple[str, list[str], str]:
        import html

        try:
            result = run_job(model, [Path(f) for f in files or []], settings, root, moving)
        except UserError as error:
            raise gradio.Error(str(error), print_exception=False) from error
        page = html.escape(result.viewer.read_text(encoding="utf-8"), quote=True)
        frame = f'<iframe srcdoc="{page}" style="width:100%;height:720px;border:0" title="4-D viewer"></iframe>'
        return frame, [str(result.viewer), str(result.archive), str(result.prediction)], result.summary

    limits = f"At most {settings.max_upload_mb} MB, {settings.max_frames} frames; one job at a time, others wait."
    with gradio.Blocks(title="PAGE-4D", analytics_enabled=False, delete_cache=(KEEP_S, KEEP_S)) as page:
        gradio.Markdown(f"# PAGE-4D\nImages or one video to cameras, depth and points. {limits}")
        with gradio.Row():
            with gradio.Column(scale=1):
                files = gradio.File(label="images or one video", file_count="multiple")
                moving = gradio.Dropdown(["auto", "geometric", "model", "none"], value="auto", label="moving mask")
                button = gradio.Button("Run", variant="primary")
                summary = gradio.Textbox(label="result", interactive=False)
                downloads = gradio.File(label="viewer, exports, prediction", file_count="multiple", interactive=False)
            with gradio.Column(scale=3):
                viewer = gradio.HTML()
        button.click(job, [files, moving], [viewer, downloads, summary])
    return page
