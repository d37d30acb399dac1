"""The same work on many items: here, in processes of this machine, or on a Dask cluster.

Results come as they are finished, and no more items are handed out at once than keep every worker busy, so that work
that is cancelled ends soon.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from typing import Any, Final, TypeVar

from ..errors import ConfigurationError, SystemRefusal

LOCAL: Final = "local"
INSTALL: Final = "pip install dask distributed"
_CONNECT_S: Final = 15
_AT_ONCE_PER_WORKER: Final = 2
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Attributes:
        processes: Processes on this machine; 1 without Dask: this one does it.
        dask: Address of a Dask scheduler, ``local``, or empty for none.
    """

    processes: int = 1
    dask: str = ""

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Result, None, None]:
        """Results of a function over the items, in the order in which they are finished.

        Without processes or Dask that is the order of the items. The function and the items are sent to the workers:
        the function must be importable there. Close the iterator to stop early.

        Raises:
            ConfigurationError: Dask is not installed, or the cluster does not answer.
            SystemRefusal: A worker died.
        """
        if not self.dask and self.processes <= 1:
            yield from (function(item) for item in items)
            return
        with self._pool() as (pool, count):
            yield from _handed_out(pool, function, items, count)

    def _pool(self) -> AbstractContextManager[tuple[Executor, int]]:
        return _cluster(self.dask, self.processes) if self.dask else _processes(self.processes)


def _handed_out(
    pool: Executor, function: Callable[[Item], Result], items: Sequence[Item], count: int
) -> Iterator[Result]:
    queue = iter(items)
    waiting: set[Future[Result]] = {pool.submit(function, item) for item in islice(queue, count)}
    try:
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            waiting |= {pool.submit(function, item) for item in islice(queue, len(done))}
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def _processes(count: int) -> Iterator[tuple[Executor, int]]:
    # forking a process that runs an event loop or a thread pool would hang its children
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        try:
            yield pool, count
        except BrokenProcessPool as error:
            raise SystemRefusal(_DIED.format("process")) from error
        finally:
            pool.shutdown(cancel_futures=True)


_DIED = "A working {} died, perhaps for want of memory; run the command again to go on, with fewer --processes."


@contextmanager
def _cluster(address: str, processes: int) -> Iterator[tuple[Executor, int]]:
    try:
        from dask import config
        from distributed import Client, KilledWorker, LocalCluster
    except ImportError as error:
        raise ConfigurationError(f"Work on a Dask cluster needs Dask; install it with: {INSTALL}") from error
    if address == LOCAL:
        # no dashboard: it would open a port to the network
        with (
            config.set({"distributed.admin.log-format": "%(message)s"}),
            LocalCluster(
                n_workers=max(processes, 1), threads_per_worker=1, host="127.0.0.1", dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            yield from _on(client, KilledWorker)
        return
    with _connected(address, Client) as client:
        yield from _on(client, KilledWorker)


def _connected(address: str, client_class: Any) -> Any:
    if not address.startswith(("tcp://", "tls://", "ws://", "wss://")):
        raise ConfigurationError(f"A Dask address is tcp://host:port, or {LOCAL!r}, not {address!r}.")
    try:
        return client_class(address, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"No Dask scheduler answers at {address}; start one, or check the address.") from error


def _on(client: Any, killed: type[Exception]) -> Iterator[tuple[Executor, int]]:
    count = len(client.nthreads())
    if not count:
        raise ConfigurationError("The Dask cluster has no workers; start some, then run the command again.")
    pool = client.get_executor(pure=False)
    try:
        yield pool, _AT_ONCE_PER_WORKER * count
    except (killed, CancelledError) as error:
        raise SystemRefusal(_DIED.format("process of the cluster")) from error
    finally:
        pool.shutdown(wait=False)
