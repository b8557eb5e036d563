"""Serves a site on this machine, for the laptop; on a server nginx or a bucket does it."""

import http.server
import urllib.parse
from functools import partial
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from goldseam.dashboard.site.open_metrics import METRICS_FILE
from goldseam.dashboard.site.places import PAGE
from goldseam.errors import GoldseamError, MissingInput

OPEN_METRICS = "application/openmetrics-text"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".xml": "application/xml",
}


class PortTaken(GoldseamError):
    """The address cannot be listened on."""


class SiteHandler(http.server.SimpleHTTPRequestHandler):
    """Files of one folder, and nothing else: no listings, no hidden files, no links out of it."""

    extensions_map = {"": "application/octet-stream", **TYPES}
    server_version, sys_version = "goldseam", ""
    protocol_version = "HTTP/1.1"
    # a client that connects and says nothing does not keep a thread for ever
    timeout = 30

    def send_head(self) -> BytesIO | BinaryIO | None:
        """The head of an answer; everything but a plain file of the site is not found."""
        parsed = urllib.parse.urlsplit(self.path)
        # a browser takes //host for an address of its own: never let it come back in a redirect
        if "//" in parsed.path or not self._inside(parsed.path):
            self.send_error(HTTPStatus.NOT_FOUND, "There is no such page")
            return None
        return super().send_head()

    def _inside(self, path: str) -> bool:
        text = urllib.parse.unquote(path)
        if "\0" in text or any(part.startswith(".") for part in text.split("/")):
            return False
        root = Path(self.directory).resolve()
        try:
            there = Path(self.translate_path(self.path)).resolve()
        except (OSError, ValueError):
            return False
        if there.is_dir():
            there = (there / PAGE).resolve()
        return there.is_file() and there.is_relative_to(root)

    def guess_type(self, path: Any) -> str:
        """The content type; the metrics are OpenMetrics for whoever asks for them."""
        is_metrics = Path(path) == Path(self.directory) / METRICS_FILE
        if is_metrics and OPEN_METRICS in self.headers.get("Accept", ""):
            return f"{OPEN_METRICS}; version=1.0.0; charset=utf-8"
        return super().guess_type(path)

    def end_headers(self) -> None:
        """Pages change with every build, and are what their type says."""
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name)
        """Say nothing: the terminal shows the address."""


def make_server(site: Path, host: str, port: int) -> http.server.ThreadingHTTPServer:
    """A server of a site that listens but does not answer yet; call `serve_forever`.

    Args:
        site: folder that `build_site` wrote.
        host: to listen on; 127.0.0.1 answers this machine only.
        port: 0 for any that is free; `server.server_port` says which.

    Raises:
        MissingInput: there is no site.
        PortTaken: the address is in use or not this machine's.
    """
    if not (site / PAGE).is_file():
        remedy = "Make it with 'goldseam dashboard build RUNS --out SITE', or name RUNS here."
        raise MissingInput(site, f"holds no {PAGE}", remedy)
    handler = partial(SiteHandler, directory=str(site.resolve()))
    try:
        return http.server.ThreadingHTTPServer((host, port), handler)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise PortTaken(
            f"cannot listen on {host}, port {port}: {why}.",
            remedy="Choose another --port (0 takes any that is free), or another --host.",
        ) from error


def address(server: http.server.ThreadingHTTPServer) -> str:
    """The URL of a server."""
    host = str(server.server_address[0])
    return f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/"
