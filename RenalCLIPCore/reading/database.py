"""The database of a worklist: SQLite (write-ahead log) by default, PostgreSQL by URL, the same code.

Whoever writes holds the head of the log from the start of the transaction, so writers follow one another: a version
number is read and raised without anybody between, and the log is one chain.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event, insert, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from ..errors import WorklistError
from .schema import AUDIT_HEAD, METADATA, SCHEMA_VERSION, WORKLIST

PATIENCE_S = 30
GENESIS = "0" * 64
_SQLITE = {
    "SQLITE_BUSY": "The worklist's database is locked by another program; try again when that has finished.",
    "SQLITE_LOCKED": "The worklist's database is locked by another program; try again when that has finished.",
    "SQLITE_READONLY": "The worklist's database is read-only; check the permissions of the file and its folder.",
    "SQLITE_FULL": "The disk of the worklist's database is full; nothing of this change was kept. Free some space.",
    "SQLITE_IOERR": "The disk of the worklist's database reports an error; nothing of this change was kept.",
    "SQLITE_CANTOPEN": "The worklist's database cannot be opened; check that its folder exists and can be written.",
    "SQLITE_NOTADB": "The file is no worklist database.",
    "SQLITE_CORRUPT": "The worklist's database is damaged; go back to a copy.",
}
_POSTGRESQL = {
    "08": "The database server does not answer; check the address and that it runs.",
    "28": "The database server refuses this user or password.",
    "3D": "The database server has no database of this name; create it first.",
    "53": "The database server has run out of disk or memory; nothing of this change was kept.",
    "25006": "The worklist's database is read-only.",
    "42501": "This user may not do that in the worklist's database.",
    "55P03": "The worklist's database is locked by another program; try again when that has finished.",
    "57": "The database server is shutting down; nothing of this change was kept.",
}


class Database:
    """A worklist's database; a context manager that closes its connections.

    Args:
        url: ``worklist.db`` or another path, ``sqlite:///...``, or ``postgresql://user@host/name``.

    Raises:
        WorklistError: The address is none of these, or its driver is not installed.
    """

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S) -> None:
        self._engine = _engine(_address(url), patience_s)
        self._checked = False

    def __enter__(self) -> Database:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def create(self, facts: Mapping[str, Any]) -> None:
        """Make the tables of an empty database.

        Args:
            facts: What holds for the worklist as a whole, JSON-ready, by name.

        Raises:
            WorklistError: There is a worklist already, or the database refuses.
        """
        with translated(), self._engine.begin() as connection:
            if inspect(connection).has_table(WORKLIST.name):
                raise WorklistError("This database holds a worklist already; choose another, or assign its cases.")
            METADATA.create_all(connection)
            rows = {"schema_version": SCHEMA_VERSION, **facts}
            connection.execute(insert(WORKLIST), [{"key": k, "value": json.dumps(v)} for k, v in rows.items()])
            connection.execute(insert(AUDIT_HEAD).values(id=1, sequence=0, hash=GENESIS))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state of the database.

        Raises:
            WorklistError: The database cannot be used.
        """
        self._check_there()
        with translated(), self._engine.connect() as plain:
            connection = plain.execution_options(readonly=True)
            with connection.begin():
                if self._engine.dialect.name == "postgresql":
                    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                self._check_version(connection)
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the head of the log; committed when the block ends without an error.

        Raises:
            WorklistError: The database cannot be used.
        """
        self._check_there()
        with self._turn(), translated(), self._engine.begin() as connection:
            self._check_version(connection)
            connection.execute(select(AUDIT_HEAD.c.sequence).with_for_update())
            yield connection

    def facts(self) -> dict[str, Any]:
        """What holds for the worklist as a whole, by name."""
        with self.reading() as connection:
            return {row.key: json.loads(row.value) for row in connection.execute(select(WORKLIST))}

    def set_fact(self, connection: Connection, key: str, value: Any) -> None:
        """Replace a fact."""
        connection.execute(WORKLIST.update().where(WORKLIST.c.key == key).values(value=json.dumps(value)))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for one's turn among writers: SQLite's own waiting polls, and among many a writer can wait for ever."""
        name = self._engine.url.database
        if self._engine.dialect.name != "sqlite" or sys.platform == "win32" or not name or name.startswith("file:"):
            yield
            return
        import fcntl

        try:
            queue = os.open(f"{name}-queue", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:  # a folder that cannot be written; the database says so itself
            yield
            return
        try:
            fcntl.flock(queue, fcntl.LOCK_EX)
            yield
        finally:
            os.close(queue)

    def _check_there(self) -> None:
        """SQLite makes a file that is not there, which only ``create`` may."""
        name = self._engine.url.database or ""
        if self._engine.dialect.name != "sqlite" or name.startswith("file:"):
            return
        file = Path(name)
        if file.parent.is_dir() and not file.exists():
            raise WorklistError(f"There is no database {file.name}; make one with renalclip worklist create.")

    def _check_version(self, connection: Connection) -> None:
        if not self._checked:
            _check_version(connection)
            self._checked = True


@contextmanager
def translated() -> Iterator[None]:
    """Turn what a database refuses into one message; a defect of a statement stays one."""
    try:
        yield
    except DBAPIError as error:
        message = _message(error)
        if message is None:
            raise
        # the driver's own words hold the address and may hold values
        raise WorklistError(message) from None


def _address(url: str) -> URL:
    if "://" not in url:
        return URL.create("sqlite", database=str(Path(url)))
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise WorklistError("A database is a path, sqlite:///PATH or postgresql://USER@HOST/NAME.") from None
    if address.get_backend_name() not in ("sqlite", "postgresql"):
        raise WorklistError(f"Worklists live in SQLite or PostgreSQL; {address.get_backend_name()} was asked for.")
    return address.set(drivername="postgresql+psycopg") if address.get_backend_name() == "postgresql" else address


def _engine(address: URL, patience_s: float) -> Engine:
    if address.get_backend_name() == "sqlite":
        if address.database in (None, "", ":memory:"):
            raise WorklistError("A worklist in SQLite needs a file.")
        engine = sqlalchemy.create_engine(address, hide_parameters=True, connect_args={"timeout": patience_s})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return sqlalchemy.create_engine(
            address,
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10, "options": f"-c lock_timeout={int(1000 * patience_s)}"},
        )
    except (ModuleNotFoundError, NoSuchModuleError):
        raise WorklistError('PostgreSQL needs the driver psycopg: pip install "renalclip[postgresql]".') from None


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions begin below, not at the driver's discretion
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("readonly")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _message(error: DBAPIError) -> str | None:
    name = getattr(error.orig, "sqlite_errorname", None)
    if name:
        return next((text for prefix, text in _SQLITE.items() if name.startswith(prefix)), None)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # psycopg names no state where it could not connect at all
        return (
            _POSTGRESQL["08"]
            if error.connection_invalidated or isinstance(error, sqlalchemy.exc.OperationalError)
            else None
        )
    return next((text for prefix, text in _POSTGRESQL.items() if state.startswith(prefix)), None)


def _check_version(connection: Connection) -> None:
    if not inspect(connection).has_table(WORKLIST.name):
        raise WorklistError("This database holds no worklist; make one with renalclip worklist create.")
    text = connection.scalar(select(WORKLIST.c.value).where(WORKLIST.c.key == "schema_version"))
    version = json.loads(text) if text else None
    if version != SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        raise WorklistError(
            f"This program reads worklists of version {SCHEMA_VERSION}, and this one is of version {version}"
            + ("; install a newer RenalCLIP." if newer else ".")
        )
