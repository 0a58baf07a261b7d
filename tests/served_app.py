"""An application behind a real port of this machine, for tests of commands that ask it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from patience import WITHIN_S


@contextmanager
def served_app(app: FastAPI) -> Iterator[str]:
    """The address of `app`, on a free port of the loopback, between `with`."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off", ws="none")
    server = _Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.up.wait(WITHIN_S), "it did not come up"
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    """Tells when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override] # as it is called
        await super().startup(sockets)  # type: ignore[arg-type]
        self.up.set()
