"""A child process is bounded: it replies within its deadline or is killed with everything it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import until

from arbitrank.child import Child, Ended, Expired, how_ended, last_line

ECHO = "from arbitrank.child import serve; serve(bytes.strip)"


def test_a_line_is_replied_to_each_line() -> None:
    with Child("-c", ECHO) as child:
        assert child.exchange(b"one", 30.0) == b"one"
        assert child.exchange(b"x" * 1_000_000, 30.0) == b"x" * 1_000_000


def test_nothing_is_imported_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "html.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    with Child("-c", f"import html; {ECHO}") as child:
        assert child.exchange(b"one", 30.0) == b"one"


def test_a_child_goes_on_where_a_service_manager_terminates_all_processes() -> None:
    with Child("-c", ECHO) as child:
        assert child.exchange(b"one", 30.0) == b"one"
        child.process.terminate()
        assert child.exchange(b"two", 30.0) == b"two"


def test_what_the_child_prints_is_no_reply() -> None:
    code = "import arbitrank.child as c; c.serve(lambda line: (print('noise', flush=True), b'reply')[1])"
    with Child("-c", code) as child:
        assert child.exchange(b"", 30.0) == b"reply"


def test_a_child_that_hangs_is_killed_with_what_it_started() -> None:
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
    with Child("-c", code) as child:
        started = int(child.exchange(b"", 30.0))
        with pytest.raises(Expired, match="not done after"):
            child.exchange(b"", 0.05)
    until(lambda: not os.path.exists(f"/proc/{started}") or _state(started) == "Z")


def test_what_a_child_left_behind_is_killed_too() -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '600'], stdout=2); print(p.pid, flush=True)"
    with Child("-c", code) as child:
        started = int(child.exchange(b"", 30.0))
        with pytest.raises(Ended):
            child.exchange(b"", 30.0)
    until(lambda: not os.path.exists(f"/proc/{started}") or _state(started) == "Z")


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("import sys; sys.exit(3)", "ended with status 3"),
        ("raise ValueError('no weights')", "ended with status 1: ValueError: no weights"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed with SIGSEGV"),
        ("import arbitrank.child as c; c.limit(1 << 28); bytearray(1 << 29)", "ended with status 1: MemoryError"),
    ],
)
def test_the_end_of_a_child_is_described(code: str, end: str) -> None:
    with Child("-c", code) as child, pytest.raises(Ended) as raised:
        child.exchange(b"", 30.0)
    assert str(raised.value) == end


def test_a_child_ends_by_itself_when_its_parent_does_not_end_it() -> None:
    code = "import time; from arbitrank.child import serve; serve(lambda line: time.sleep(600), 0.01)"
    with Child("-c", code) as child, pytest.raises(Ended, match="SIGALRM"):
        child.exchange(b"", 30.0)


HANGS = """
import ctypes, subprocess
from arbitrank.child import end_with_parent
end_with_parent()
started = subprocess.Popen(["sleep", "600"], stdout=2)
print(started.pid, flush=True)
ctypes.PyDLL(None).sleep(600)  # no thread of this process runs meanwhile
"""
PARENT = """
import sys, time
from arbitrank.child import Child
child = Child("-c", sys.argv[1])
print(child.pid, child.exchange(b"", 30.0).decode(), flush=True)
time.sleep(600)
"""


def test_a_killed_parent_takes_a_child_that_hangs_and_what_that_started_with_it() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, HANGS], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pids = list(map(int, parent.stdout.readline().split()))
        assert len(pids) == 2
        parent.kill()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") and _state(pid) != "Z" for pid in pids))


def test_statuses_and_last_lines_in_words() -> None:
    assert how_ended(-signal.SIGKILL) == "crashed with SIGKILL"
    assert how_ended(-250) == "crashed with signal 250"
    assert last_line(b"one\ntwo\xff\x1b \n\n") == ": two??"
    assert last_line(b"\n") == ""


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
