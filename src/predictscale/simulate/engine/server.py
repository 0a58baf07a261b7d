"""A fleet's metrics over HTTP on loopback, at the pace of a clock, for a Prometheus that scrapes.

`/metrics` tells of all pods with the labels `namespace` and `pod` (scrape it with
`honor_labels: true`), `/metrics/POD` of one as it would itself, `/kube/metrics` what
kube-state-metrics would say. Every answer first lets the fleet come to the clock's present.

A clock that runs faster than life makes rates larger by as much, for a Prometheus stamps what
it scrapes with the time of life; levels, latencies and ratios stay what they are.
"""

import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from predictscale.clock import Clock
from predictscale.simulate.engine.exposition import EngineName, NamesOf, exposition, kube_exposition
from predictscale.simulate.engine.fleet import Fleet

_HOST = "127.0.0.1"


class FleetServer:
    """Between `with`, answers in threads of its own.

    Args:
        fleet: Whose metrics.
        clock: How far the fleet has come.
        engine: Whose metrics it shows.
        names: As `exposition` takes them.
        port: Where; 0 is any free one.
    """

    def __init__(
        self,
        fleet: Fleet,
        clock: Clock,
        *,
        engine: EngineName = "vllm",
        names: NamesOf | Mapping[int, NamesOf] = "new",
        port: int = 0,
    ) -> None:
        self.fleet = fleet
        self._clock, self._engine, self._names = clock, engine, names
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = server.answer(self.path.split("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((_HOST, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._server.server_port

    @property
    def address(self) -> str:
        """`host:port`, as a scrape's target."""
        return f"{_HOST}:{self.port}"

    def scrape_config(self, *, every_s: float = 1.0) -> list[dict[str, object]]:
        """Prometheus' `scrape_configs` for the fleet and its kube-state-metrics."""
        common = {
            "honor_labels": True,
            "scrape_interval": f"{round(every_s * 1000)}ms",
            "scrape_timeout": f"{round(every_s * 1000)}ms",
            "static_configs": [{"targets": [self.address]}],
        }
        return [
            {"job_name": "engines", "metrics_path": "/metrics", **common},
            {"job_name": "kube-state-metrics", "metrics_path": "/kube/metrics", **common},
        ]

    def answer(self, path: str) -> tuple[HTTPStatus, bytes]:
        """What a GET of `path` gets."""
        with self.fleet.lock:
            self.fleet.run(self._clock.now())
            if path == "/kube/metrics":
                return HTTPStatus.OK, kube_exposition(self.fleet).encode()
            if path != "/metrics" and not path.startswith("/metrics/"):
                return HTTPStatus.NOT_FOUND, b"/metrics, /metrics/POD, /kube/metrics\n"
            pod = path.removeprefix("/metrics").removeprefix("/") or None
            try:
                text = exposition(self.fleet, engine=self._engine, names=self._names, pod=pod)
            except ValueError as error:
                return HTTPStatus.NOT_FOUND, f"{error}\n".encode()
            return HTTPStatus.OK, text.encode()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
