"""One piece of long work at a time: begun, asked of the worker step by step, cancelled, finished. Plain Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .Task import Task
from .WorkerPlan import Level, Step, WorkerPlan
from .WorkerProtocol import CANCELLED, Done, Failed, Progress, WorkerError

Listener = Callable[[str], None]


class WorkerPort(Protocol):
    """The worker's process as the case needs it."""

    notified: Callable[[str, Mapping[str, Any]], None]
    ended: Callable[[str], None]

    def start(self) -> str | None:
        """Start the process unless it runs; a problem in words, or None."""

    def request(
        self, method: str, params: Mapping[str, Any], done: Done, failed: Failed, progress: Progress | None = None
    ) -> int:
        """Send a request."""

    def cancel(self, number: int) -> None:
        """Stop a request, by killing the process when it does not listen."""

    def stop(self) -> None:
        """End the process; open requests fail as cancelled."""

    def advice(self) -> str:
        """How the core gets into the chosen Python."""


class LongWork:
    """Work that the window waits for, with its progress and its end; a second piece is refused meanwhile.

    Args:
        worker: The worker's process.
        plan: What the worker must be told.
    """

    def __init__(self, worker: WorkerPort, plan: WorkerPlan) -> None:
        self.worker = worker
        self.plan = plan
        self.task: Task | None = None
        self.message = ("info", "")
        self.failure = ""  # the core's name of the error that ended the last work
        self.listeners: list[Listener] = []

    def tell(self, *what: str) -> None:
        """Tell the listeners what changed."""
        for name in what:
            for listener in list(self.listeners):
                listener(name)

    def say(self, text: str, kind: str = "info") -> None:
        """Show one message; ``kind`` is ``info``, ``warning`` or ``error``."""
        self.message = (kind, text)
        self.tell("message")

    def cancel(self) -> None:
        """Stop the work under way."""
        if self.task and not self.task.cancelling:
            self.task.cancelling = True
            self.worker.cancel(self.task.request)
            self.tell("busy")

    def ensure(self, title: str, level: Level, then: Callable[[], None]) -> bool:
        """Bring the worker to a level as long work, then go on."""
        return self._begin(title, lambda: self.reach(level, then))

    def reach(self, level: Level, then: Callable[[], None]) -> None:
        """Bring the worker to a level within the work under way, then go on."""
        try:
            step = self.plan.next(level)
        except (OSError, ValueError) as error:
            self.finish(str(error), "error")
            return
        if step is None:
            then()
            return

        def taken(result: Any) -> None:
            problem = step.taken(result)
            if isinstance(problem, str):
                self.finish(f"{problem} {self.worker.advice()}", "error")
                self.worker.stop()  # so that the next try starts what was installed meanwhile
            else:
                self.reach(level, then)

        self.send(step.method, step.params, taken)
        if self.task:
            self.asked(step, self.task.request)

    def send(self, method: str, params: Mapping[str, Any], done: Done) -> None:
        """One request of the work under way."""
        task = self.task
        if task is None:
            return
        if task.cancelling:
            self._failed(task, WorkerError(CANCELLED, "Cancelled."))
            return

        def progressed(fraction: float, words: str) -> None:
            if self.task is task:
                task.fraction, task.words = fraction, words
                self.tell("busy")

        task.beginStep()
        task.request = self.worker.request(
            method,
            params,
            lambda result: done(result) if self.task is task else None,
            lambda error: self._failed(task, error),
            progressed,
        )
        self.tell("busy")

    def finish(self, text: str, kind: str = "info") -> None:
        """The work under way is over; what waited for it goes on."""
        self.task = None
        self.say(text, kind)
        self.tell("busy")
        self.rested()

    def run(self, title: str, level: Level, method: str, params: Mapping[str, Any], done: Done) -> bool:
        """Long work: bring the worker to a level, then one request."""
        return self.ensure(title, level, lambda: self.send(method, params, done))

    def rested(self) -> None:
        """Nothing is under way any more."""

    def asked(self, step: Step, request: int) -> None:
        """A step towards a level was sent to the worker."""

    def _begin(self, title: str, go: Callable[[], None]) -> bool:
        if self.task:
            self.say(f"{self.task.title} is still under way; wait for it or cancel it first.", "warning")
            return False
        problem = self.worker.start()
        if problem:
            self.say(problem, "error")
            return False
        self.task = Task(title)
        self.task.beginStep()
        self.message, self.failure = ("info", ""), ""
        self.tell("message", "busy")
        go()
        return True

    def _failed(self, task: Task, error: WorkerError) -> None:
        if self.task is task:
            cancelled = error.cancelled or task.cancelling
            self.failure = error.name
            text = f"{task.title} was cancelled; nothing was changed." if cancelled else error.message
            self.finish(text, "info" if cancelled else "error")
