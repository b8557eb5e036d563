"""The server of the laptop: files of the site with their types, and nothing else."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldseam.dashboard.site.serving import PortTaken, address, make_server
from goldseam.errors import MissingInput


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    (site / "audits" / "a").mkdir(parents=True)
    (site / "index.html").write_text("<title>overview</title>")
    (site / "metrics.txt").write_text("# EOF\n")
    (site / "history.json").write_text("{}")
    (site / "audits" / "a" / "index.html").write_text("<title>an audit</title>")
    (site / "audits" / "a" / "findings.parquet").write_bytes(b"PAR1")
    (site / ".secret").write_text("secret")
    (tmp_path / "outside.txt").write_text("secret")
    (site / "way-out.txt").symlink_to(tmp_path / "outside.txt")
    return site


@pytest.fixture
def port(site: Path) -> Iterator[int]:
    with make_server(site, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(
    port: int, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, text in headers.items():
        connection.putheader(name, text)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): text for name, text in answer.getheaders()}, body


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html?from=mail", "text/html; charset=utf-8"),
        ("/audits/a/", "text/html; charset=utf-8"),
        ("/history.json", "application/json"),
        ("/metrics.txt", "text/plain; charset=utf-8"),
        ("/audits/a/findings.parquet", "application/vnd.apache.parquet"),
    ],
)
def test_files_come_with_their_type(port: int, path: str, kind: str) -> None:
    status, headers, body = ask(port, path)
    assert status == 200
    assert headers["content-type"] == kind
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-cache"
    assert int(headers["content-length"]) == len(body)
    assert ask(port, path, "HEAD")[2] == b""


def test_a_scraper_gets_openmetrics(port: int) -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3"
    kind = ask(port, "/metrics.txt", Accept=accept)[1]["content-type"]
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    kind = ask(port, "/index.html", Accept=accept)[1]["content-type"]
    assert kind.startswith("text/html")


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/audits/../../outside.txt",
        "/audits/%2e%2e/%2e%2e/outside.txt",
        "//etc/passwd",
        "/..\\outside.txt",
        "/way-out.txt",
        "/.secret",
        "/%2esecret",
        "/audits/",
        "/audits",
        "/nothing.html",
        "/index.html%00.txt",
        "/index.html/",
    ],
)
def test_nothing_else_is_served(port: int, path: str) -> None:
    status, headers, body = ask(port, path)
    assert status == 404
    assert b"secret" not in body
    assert b"findings" not in body
    assert "location" not in headers


def test_a_redirect_stays_on_the_server(port: int) -> None:
    status, headers, _ = ask(port, "/audits/a")
    assert status == 301
    assert headers["location"] == "/audits/a/"
    assert ask(port, "//example.org/%2f..")[0] == 404


def test_nothing_can_be_written(port: int, site: Path) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert ask(port, "/index.html", method)[0] == 501
    assert (site / "index.html").read_text() == "<title>overview</title>"


def test_no_site_and_a_taken_port_are_errors_with_a_remedy(site: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingInput) as caught:
        make_server(tmp_path, "127.0.0.1", 0)
    assert "dashboard build" in caught.value.remedy
    with make_server(site, "127.0.0.1", 0) as server:
        assert address(server) == f"http://127.0.0.1:{server.server_port}/"
        with pytest.raises(PortTaken) as taken:
            make_server(site, "127.0.0.1", server.server_port)
        assert "--port" in taken.value.remedy
    with pytest.raises(PortTaken):
        make_server(site, "203.0.113.1", 0)


def test_ctrl_c_ends_the_command_quietly(site: Path) -> None:
    # a shell starts what runs in its background deaf to Ctrl-C, and so all that comes of it
    hears = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{hears}; from goldseam.cli import main; main()"
    command = [sys.executable, "-c", program, "dashboard", "serve", str(site), "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.rpartition(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert out == "stopped\n"
    assert err == ""
