"""A hub on this machine: the resolve endpoint with its headers, and a file server that it redirects to."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Files by address ("/datasets/owner/name/resolve/main/file"), what was asked for, and how to misbehave.

    Note:    break_once holds addresses whose first transfer is cut in the middle; gated ones ask for a login; lies
             replace headers of an address.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    break_once: set[str] = field(default_factory=set)
    lies: dict[str, dict[str, str]] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    endpoint: str = ""
    storage: str = ""

    def repositories(self) -> set[str]:
        return {address.split("/resolve/")[0] for address in [*self.files, *self.gated]}


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.hub.requests.append((self.command, self.path, self.headers.get("Range")))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Endpoint(_Quiet):
    """Knows commit, etag and size of each file, holds none."""

    def do_GET(self) -> None:
        hub, path = self.hub, self.path.split("?")[0]
        if path in hub.gated:
            return self.answer(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        if path.split("/resolve/")[0] not in hub.repositories():
            return self.answer(404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if path not in hub.files:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT, "X-Error-Message": "Entry not found"}
            return self.answer(404, headers | hub.lies.get(path, {}))
        data = hub.files[path]
        headers = {
            "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Linked-Size": str(len(data)),
            "Location": f"{hub.storage}{path}",
        }
        return self.answer(302, headers | hub.lies.get(path, {}))

    do_HEAD = do_GET


class _Storage(_Quiet):
    """Hands out bytes, whole or from an offset."""

    def do_GET(self) -> None:
        data = self.hub.files[self.path]
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        headers = {"ETag": '"storage"', "Accept-Ranges": "bytes"}
        if self.path in self.hub.break_once:
            self.hub.break_once.discard(self.path)
            self.answer(200, headers | {"Content-Length": str(len(data))}, data[: len(data) // 2])
            self.close_connection = True
            return
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.answer(206 if start else 200, headers, data[start:])

    do_HEAD = do_GET


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Both servers on free ports of 127.0.0.1, until the block ends."""
    hub = Hub()
    with ExitStack() as stack:
        addresses = []
        for handler in (_Endpoint, _Storage):
            bound = type(handler.__name__, (handler,), {"hub": hub})
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), bound))
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            addresses.append(f"http://127.0.0.1:{server.server_address[1]}")
        hub.endpoint, hub.storage = addresses
        yield hub
