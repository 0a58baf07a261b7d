"""An application that counts its requests, scraped by a real Prometheus."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

LABELS = '{namespace="prod",service="shop"}'


class Exporter:
    """Serves `http_requests_total`, which grows by `demand(seconds since the epoch)` per second.

    The counter stood at `total` at `since_s`. Also tells `kube_deployment_status_replicas` of
    a Deployment `shop`, which a test may set.
    """

    def __init__(self, demand: Callable[[float], float], *, total: float, since_s: float) -> None:
        self.replicas = 10
        self._demand = demand
        self._total = total
        self._counted_until_s = since_s
        self._lock = threading.Lock()
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exporter._text().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _text(self) -> str:
        with self._lock:
            # Where the clock was set back nothing comes: a counter that falls is one that began anew.
            now_s = max(time.time(), self._counted_until_s)
            middle_s = (now_s + self._counted_until_s) / 2
            self._total += self._demand(middle_s) * (now_s - self._counted_until_s)
            self._counted_until_s = now_s
            return (
                "# TYPE http_requests_total counter\n"
                f"http_requests_total{LABELS} {self._total}\n"
                "# TYPE kube_deployment_status_replicas gauge\n"
                f'kube_deployment_status_replicas{{namespace="prod",deployment="shop"}} {self.replicas}\n'
            )
