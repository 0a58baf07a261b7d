"""Commands that ask a service, at an address where there is none."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from predictscale.cli import app
from predictscale.cli.events import events


class _LoginPage(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        page = b"<html>log in</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def login_page() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _LoginPage)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_answer_that_is_not_the_services_is_said_to_be_none(login_page: str) -> None:
    said = ["--name", "sale", "--start", "2026-11-27T08:00", "--end", "2026-11-27T09:00", "--multiplier", "2"]
    run = CliRunner().invoke(
        events, ["add", "prod/shop", *said, "--url", login_page], env={"PREDICTSCALE_TOKEN": "t" * 20}
    )
    assert run.exit_code == 1
    assert "is --url the service's REST address?" in run.output


@pytest.mark.parametrize("command", ["plan", "forecast", "capacity"])
def test_a_page_is_no_answer_to_a_question(login_page: str, command: str) -> None:
    run = CliRunner().invoke(app, [command, "prod/shop", "--url", login_page])
    assert run.exit_code == 1
    assert "is --url the service's REST address?" in run.output


@pytest.mark.parametrize("command", ["plan", "whatif"])
def test_what_is_no_address_is_said_to_be_none(command: str) -> None:
    run = CliRunner().invoke(app, [command, "prod/shop", "--url", "http://[::1"])
    assert run.exit_code == 1
    assert "is --url its REST address?" in run.output
