"""The worker's process: a QProcess child in the chosen Python, JSON lines both ways, no threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import qt

from .StartWorker import BROKEN, LEADER_VARIABLE, MISSING
from .WorkerProtocol import CANCELLED, ENDED, Done, Failed, Progress, WorkerClient, WorkerError

PATIENCE_MS = 4000
LOG_LINES = 200
USAGE = 2  # what command lines answer to arguments that they do not know
HOST_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__")
PATH_LISTS = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class CoreProcess:
    """Runs ``renalclip worker`` and speaks its protocol.

    Args:
        python: Names the Python to run, empty when none was chosen.
        work: Folder for the volumes that answers name by path.
        environment: The variables that the child starts from (Slicer's own, before it changed them).
        advice: What to do when the core is missing or too old in a Python.
    """

    def __init__(
        self,
        python: Callable[[], str],
        work: str,
        environment: Callable[[], Mapping[str, str]],
        advice: Callable[[str], str],
    ) -> None:
        self._python = python
        self._work = work
        self._leaderFile = os.path.join(work, "leader.pid")
        self._environment = environment
        self._advice = advice
        self._process: Any = None
        self._client: WorkerClient | None = None
        self._group = 0
        self._stopping = ""
        self._cancelling: set[int] = set()
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PATIENCE_MS)
        self._timer.timeout.connect(self._onPatienceEnds)
        self.log: list[str] = []
        self.notified: Callable[[str, Mapping[str, Any]], None] = lambda method, params: None
        self.ended: Callable[[str], None] = lambda text: None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None

    @property
    def processId(self) -> int:
        """Of the child; 0 when there is none."""
        return int(self._process.processId()) if self._process is not None else 0

    def start(self) -> str | None:
        """Start the process unless it runs; a problem in words, or None."""
        if self._process is not None:
            return None
        python = self._python()
        if not python or not os.path.isfile(python):
            return f"No Python with RenalCLIP is chosen. {self._advice(python)}"
        os.makedirs(self._work, exist_ok=True)
        self._forgetLeader()
        process = qt.QProcess()
        process.setProcessEnvironment(self._processEnvironment())
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.readyReadStandardOutput.connect(self._onOutput)
        process.readyReadStandardError.connect(self._onErrors)
        script = str(Path(__file__).resolve().parent / "StartWorker.py")
        self._process, self._stopping, self.log = process, "", []
        self._client = WorkerClient(self._write, lambda method, params: self.notified(method, params))
        process.start(python, [script, "worker", "--work", self._work, "--precision", "auto"])
        if not process.waitForStarted(5000):
            self._process, self._client = None, None
            return f"The Python {python} cannot be started. {self._advice(python)}"
        self._group = int(process.processId())
        return None

    def advice(self) -> str:
        """How the core gets into the chosen Python."""
        return self._advice(self._python())

    def request(
        self, method: str, params: Mapping[str, Any], done: Done, failed: Failed, progress: Progress | None = None
    ) -> int:
        """Send a request; it fails at once when there is no process."""
        if self._client is None:
            failed(WorkerError(ENDED, "The calculation process is not running."))
            return 0
        return self._client.request(method, params, done, failed, progress)

    def cancel(self, number: int) -> None:
        """Stop a request; a process that does not answer in time is ended with all its children."""
        if self._client is None or number not in self._client.openRequests:
            return
        self._client.cancel(number)
        self._cancelling.add(number)
        self._timer.start()

    def stop(self) -> None:
        """End the process and its children, and wait for it; open requests fail as cancelled."""
        self._timer.stop()
        process = self._process
        if process is None:
            return
        self._stopping = self._stopping or "stopped"
        self._kill()
        process.waitForFinished(3000)
        if self._process is process:
            self._onFinished()

    def _processEnvironment(self) -> Any:
        variables = {**childEnvironment(self._environment()), LEADER_VARIABLE: self._leaderFile}
        environment = qt.QProcessEnvironment()
        for name, value in variables.items():
            environment.insert(name, value)
        return environment

    def _write(self, data: bytes) -> None:
        if self._process is not None:
            self._process.write(data)

    def _onOutput(self, *_: Any) -> None:
        process, client = self._process, self._client
        if process is None or client is None:
            return
        client.feed(bytes(process.readAllStandardOutput().data()))
        if self._cancelling and not self._cancelling & set(client.openRequests):
            self._cancelling = set()
            self._timer.stop()

    def _onErrors(self, *_: Any) -> None:
        if self._process is not None:
            text = bytes(self._process.readAllStandardError().data()).decode("utf-8", "replace")
            self.log = [*self.log, *text.splitlines()][-LOG_LINES:]

    def _onPatienceEnds(self, *_: Any) -> None:
        self._stopping = "cancelled"
        self._kill()

    def _kill(self) -> None:
        self._killTrees()
        if self._process is not None:
            self._process.kill()

    def _killTrees(self) -> None:
        """End the worker's group and, where a launcher stands between, the launcher's."""
        killTree(self._leader())
        killTree(self._group)

    def _leader(self) -> int:
        try:
            with open(self._leaderFile, encoding="ascii") as stream:
                return int(stream.read())
        except (OSError, ValueError):
            return 0  # it has not come so far, or is no StartWorker

    def _forgetLeader(self) -> None:
        with suppress(FileNotFoundError):
            os.remove(self._leaderFile)

    def _onFinished(self, *_: Any) -> None:
        process, client = self._process, self._client
        if process is None or client is None:
            return
        self._onErrors()
        client.feed(bytes(process.readAllStandardOutput().data()))
        self._disconnect(process)
        code = int(process.exitCode())
        self._killTrees()
        self._forgetLeader()
        self._timer.stop()
        self._process, self._client, self._group, self._cancelling = None, None, 0, set()
        error = self._reason(code)
        self.ended("" if error.cancelled else error.message)
        client.close(error)

    def _disconnect(self, process: Any) -> None:
        process.disconnect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.readyReadStandardOutput.disconnect(self._onOutput)
        process.readyReadStandardError.disconnect(self._onErrors)
        process.deleteLater()

    def _reason(self, code: int) -> WorkerError:
        if self._stopping:
            return WorkerError(CANCELLED, "Cancelled.")
        if code in (MISSING, BROKEN):
            said = self.log[-1] if self.log else "RenalCLIP is not installed in the chosen Python."
            return WorkerError(ENDED, f"{said} {self.advice()}")
        if code == USAGE:
            return WorkerError(ENDED, f"The RenalCLIP in the chosen Python is of another version. {self.advice()}")
        return WorkerError(
            ENDED,
            "The calculation process ended unexpectedly. Nothing of the case is lost; repeat the last step, "
            "which starts the process again.",
        )


def childEnvironment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables for another Python: without those that point into the host application."""
    kept = {name: value for name, value in variables.items() if name not in HOST_VARIABLES}
    home = kept.get("SLICER_HOME", "").rstrip("/\\")
    for name in PATH_LISTS if home else ():
        if name in kept:
            outside = [path for path in kept[name].split(os.pathsep) if not f"{path}/".startswith(f"{home}/")]
            kept[name] = os.pathsep.join(outside)
    kept["PYTHONUNBUFFERED"] = "1"
    kept["PYTHONIOENCODING"] = "utf-8"
    return kept


def killTree(leader: int) -> None:
    """End a process and its children; StartWorker makes the worker the leader of a group of its own."""
    if leader <= 0:
        return
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(leader)], capture_output=True, check=False)
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
