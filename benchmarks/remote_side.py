"""One service of `benchmarks.remote`, in a process of its own: a domain, or the least that answers over HTTP.

It is run by its path. Its arguments are the name of a domain of `benchmarks.isolate`, or one that begins with `bare`; a
folder with its artifact; and the number of the socket that it listens at.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

REPLY = b'{"version":"1","mine":0.7,"right":[0.4,0.1,0.05,0.03,0.02]}'


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Read the body of a call, and send a fixed reply."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(REPLY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": REPLY})


def domain(name: str, artifact: Path) -> Any:
    """The service of a domain, as `arbitrank new --remote` makes it."""
    from arbitrank.serve.domain_service import application
    from benchmarks import isolate

    code: dict[str, Any] = {}
    exec(isolate._PLUGIN, code)

    class Shipped(code["Bench"]):
        """The domain, with the artifact in its package."""

        shipped = artifact

    return application(Shipped(name), store=artifact.parent / "store")


def main() -> None:
    """Serve until the process is ended."""
    name, artifact, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    least = name.startswith("bare")
    own = bare if least else domain(name, artifact)
    config = uvicorn.Config(own, lifespan="off" if least else "on", log_level="warning", access_log=False)
    uvicorn.Server(config).run([socket.socket(fileno=number)])


if __name__ == "__main__":
    main()
