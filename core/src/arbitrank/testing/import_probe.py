"""Effects of importing a module, observed in a process of its own: output, files, sockets, processes, time.

`python -B -m arbitrank.testing.import_probe` is the child; to a line with a module's name it replies `ImportEffects`.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import threading
from functools import lru_cache
from time import perf_counter
from typing import Any

import msgspec

from arbitrank.child import Child, Ended, serve
from arbitrank.guard import Fault, guarded

_SECONDS = 60.0
_KEPT = 20  # events that are reported
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_FILES = {
    "os.mkdir": "made the folder",
    "os.chdir": "changed the folder to",
    "os.remove": "removed",
    "os.rename": "renamed",
    "os.rmdir": "removed",
}
_SOCKETS = {
    "socket.connect": "connected to", "socket.bind": "listened on", "socket.getaddrinfo": "looked up",
    "socket.gethostbyname": "looked up", "socket.sendto": "sent to",
}  # fmt: skip
_PROCESSES = {"subprocess.Popen": "started", "os.system": "started", "os.posix_spawn": "started", "os.fork": "forked"}


class ImportEffects(msgspec.Struct, frozen=True):
    """The effects of an import: text on standard output, events in words, seconds, and how it ended where it failed."""

    printed: str = ""
    events: tuple[str, ...] = ()
    seconds: float = 0.0
    ended: str = ""


@lru_cache(maxsize=8)
def import_effects(module: str) -> ImportEffects | None:
    """The effects of importing a module in a fresh process; None for one that cannot be found there by its name."""
    if module == "__main__":
        return None
    with Child("-B", "-m", "arbitrank.testing.import_probe") as child:
        try:
            return msgspec.json.decode(child.exchange(module.encode(), _SECONDS), type=ImportEffects | None)
        except Ended as error:
            return ImportEffects(ended=f"ended its process: {error}")


# ------------------------------------------------------------------------------------------------------- in the child


def _observed(line: bytes) -> bytes:
    module = line.decode().strip()
    guarded(importlib.import_module, "arbitrank.learn.reference")  # the core's own imports are not the plugin's
    guarded(importlib.import_module, "arbitrank.nlu.patterns")
    events: list[str] = []
    recording = [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if recording[0] and len(events) < _KEPT and (text := _event(event, arguments)) and text not in events:
            events.append(text)

    with tempfile.TemporaryFile() as file:
        kept = os.dup(1)
        os.dup2(file.fileno(), 1)
        sys.addaudithook(hook)
        began, threads = perf_counter(), threading.active_count()
        imported = guarded(importlib.import_module, module)
        seconds = perf_counter() - began
        recording[0] = False
        if threading.active_count() > threads:
            events.append(f"started {threading.active_count() - threads} threads")
        sys.stdout.flush()
        os.dup2(kept, 1)
        file.seek(0)
        printed = file.read(200).decode(errors="replace").strip()
    if isinstance(imported, Fault):
        if isinstance(imported.error, ModuleNotFoundError) and imported.error.name == module.partition(".")[0]:
            return b"null"
        return msgspec.json.encode(ImportEffects(printed, tuple(events), seconds, f"raised {imported.placed}"))
    return msgspec.json.encode(ImportEffects(printed, tuple(events), seconds))


def _event(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The event in words, None for one without an effect."""
    if event == "open":
        path, mode, flags = (*arguments, None, None, None)[:3]
        writes = (isinstance(flags, int) and flags & _WRITING) or (isinstance(mode, str) and set(mode) & set("wax+"))
        return f"opened {path!r} to write" if writes and path not in (os.devnull, b"/dev/null") else None
    for kinds in (_FILES, _SOCKETS, _PROCESSES):
        if event in kinds:
            shown = ", ".join(repr(one) for one in arguments if isinstance(one, str | int | tuple | list | bytes))
            return f"{kinds[event]} {shown}"[:200]
    return None


if __name__ == "__main__":
    serve(_observed, _SECONDS)
