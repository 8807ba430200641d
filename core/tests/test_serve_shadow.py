"""The comparisons of `serve --shadow`: of several workers in one folder, as private as the log, failures reported."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path

import fakes
from services import Service, answer_on, raw_call
from waiting import until

from arbitrank.answerlog.segments import segments
from arbitrank.store.store import open_store

SECRET = {"utterance": "SECRET light", "session": "SECRET"}


def world(folder: Path) -> Path:
    """A store with a stable version of `lights` and a candidate."""
    store = open_store(folder / "store", environment={})
    for number in range(2):
        path = folder / f"v{number}"
        fakes.artifact(path, "lights", fakes.CARD, intent=f"intent{number}", mine=0.6 + number / 100)
        store.publish(path, promote=number == 0)
    return folder / "store"


def test_workers_share_a_shadow_folder_and_report_what_they_cannot_write(tmp_path: Path, lights_site: Path) -> None:
    folder, number = tmp_path / "shadow", 0
    options = ("--workers", "2", "--shadow", str(folder), "--log-words", "drop", "--poll", "0.1")
    with Service(lights_site, world(tmp_path), *options) as service:

        def compared() -> bool:
            nonlocal number
            with ExitStack() as stack:  # open at once, so that both workers have some
                for connection in [stack.enter_context(service.connect()) for _ in range(6)]:
                    number += 1
                    connection.sendall(raw_call(json.dumps({**SECRET, "id": str(number)}).encode()))
                    assert answer_on(connection)[0] == 200
            return folder.is_dir() and len({path.name.split("-")[1] for path in segments(folder)}) == 2

        until(compared)  # by both processes
        assert {path.stat().st_mode & 0o777 for path in segments(folder)} == {0o600}
        until(lambda: any(path.stat().st_size for path in segments(folder)))
        assert all(b"SECRET" not in path.read_bytes() for path in segments(folder))

        shutil.rmtree(folder)
        folder.write_text("")  # no segment can be made in it

        def reported() -> bool:
            compared()
            return "shadow" in service.call("GET", "/readyz")[1].get("kinds", ())

        until(reported)
        assert service.event("shadow", level="error")["reason"]
        page = service.call("GET", "/metrics")[1]
        assert "arbitrank_shadow_lost_total{" in page
        assert "arbitrank_shadow_skipped_total{" in page
