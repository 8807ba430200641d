"""An ASGI application on this machine, for tests of a domain that is a service of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["served"]


@contextmanager
def served(application: Any) -> Iterator[str]:
    """The URL of an application, which uvicorn serves at a free port of this machine in a thread of this process.

    Where it cannot be started, connections are reset. Needs `arbitrank[serve]`.
    """
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(application, lifespan="on", log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            # Whoever waits to be accepted is reset where the application does not start, which ends the thread.
            with listening, suppress(SystemExit):
                server.run([listening])

        thread = threading.Thread(target=run, name="served", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
