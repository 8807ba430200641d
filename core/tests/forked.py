"""The command in a process of its own, forked from one that has imported all: of a short call, imports take most.

Workers that train are forked, too, of the command's own process. The fixture `fresh` starts the program itself, and
whatever that starts.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module, invalidate_caches
from io import FileIO
from multiprocessing import get_context
from pathlib import Path
from select import select
from typing import Any

TRAINING = "sklearn.linear_model"  # but not LightGBM: some calls are made as if it were not installed


class Forks:
    """Calls of the command, one after another, each in a fork of a process that waits for them."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._waiting: subprocess.Popen[bytes] | None = None

    def run(
        self, args: Sequence[str], *, input: str | None, cwd: str, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """The call's exit status and output."""
        command = [self._program, *args]
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
            files[0].write_text(input or "", encoding="utf-8")
            call = {"command": command, "cwd": cwd, "env": dict(env), "files": [*map(str, files)]}
            status = self._send(call, timeout)
            output = [path.read_text(encoding="utf-8") for path in files[1:]]
        return subprocess.CompletedProcess(command, status, *output)

    def _send(self, call: Mapping[str, Any], timeout: float) -> int:
        if self._waiting is None:
            env = {name: value for name, value in call["env"].items() if name != "PYTHONPATH"}
            self._waiting = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=env,
                start_new_session=True,
            )
        assert self._waiting.stdin
        assert self._waiting.stdout
        self._waiting.stdin.write(json.dumps(call).encode() + b"\n")
        self._waiting.stdin.flush()
        if not select([self._waiting.stdout], [], [], timeout)[0]:
            os.killpg(self._waiting.pid, signal.SIGKILL)
            self.close()
            raise subprocess.TimeoutExpired(call["command"], timeout)
        return int(self._waiting.stdout.readline())

    def close(self) -> None:
        """End the process that waits, which writes its coverage then."""
        if self._waiting is not None:
            self._waiting.communicate()
            self._waiting = None


def wait() -> None:
    """Fork for each line of standard input: the fork runs the command, its exit status goes to standard output."""
    from arbitrank.cli.main import VERBS, main

    for module in dict.fromkeys(module for module, _ in VERBS.values()):
        import_module(f"arbitrank.cli.{module}")
    import_module(TRAINING)
    import_module("arbitrank.training.task")
    import_module(WORKERS[0]).get_context = WORKERS[1]
    gc.freeze()  # no collection of a fork looks at what is here
    calls = FileIO(0, closefd=False)  # unbuffered: no fork has read the next call
    while line := calls.readline():
        child = os.fork()
        if not child:
            _become(**json.loads(line))
            _end(_status(main))
        _, status = os.waitpid(child, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


class ForkedWorkers:
    """The part of loky's context that starts workers of training, which forks them: OpenMP has one thread in tests."""

    Pipe = staticmethod(get_context("fork").Pipe)

    @staticmethod
    def Process(target: Callable[..., None], args: tuple[Any, ...], env: Mapping[str, str]) -> Any:
        """A process that calls the target with these changes of the environment."""
        return get_context("fork").Process(target=_in_environment, args=(env, target, args))


def _in_environment(env: Mapping[str, str], target: Callable[..., None], args: tuple[Any, ...]) -> None:
    os.environ.update(env)
    tempfile.tempdir = None  # as TMPDIR says
    target(*args)


WORKERS = "joblib.externals.loky.backend", lambda name: ForkedWorkers
"""The module whose `get_context` training calls, and the one that has its workers forked."""


def _status(main: Callable[[], None]) -> int:
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(status: int) -> None:
    """Exit as Python does, except that nothing of the memory it shares is freed, which would copy it."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _become(command: list[str], cwd: str, env: dict[str, str], files: list[str]) -> None:
    """Have the arguments, folder, environment, path and standard streams of a fresh process."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate(files):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY), number)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(encoding=env.get("PYTHONIOENCODING", "utf-8"))
    sys.argv = command
    sys.modules["__main__"].__file__ = command[0]  # for processes that multiprocessing starts
    added = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [str(Path(command[0]).parent), *added, *sys.path[1:]]
    invalidate_caches()


if __name__ == "__main__":
    wait()
