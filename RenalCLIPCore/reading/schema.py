"""Tables of a worklist's database, and the triggers that keep what was written."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    DDL,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
)

SCHEMA_VERSION: Final = 1
METADATA: Final = MetaData()

WORKLIST = Table(
    "worklist", METADATA, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False)
)
CASES = Table(
    "cases",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("patient", String(80), nullable=False),
    Column("side", String(5), nullable=False),
    Column("files", Text, nullable=False),
    Column("label_map", Text, nullable=False),
    Column("centre_lps_mm", Text, nullable=False),
)
ASSIGNMENTS = Table(
    "assignments",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("case_id", Integer, ForeignKey("cases.id"), nullable=False),
    Column("code", String(20), nullable=False),
    Column("reader", String(80), nullable=False),
    Column("with_ai", Boolean, nullable=False),
    Column("session", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    UniqueConstraint("case_id", "reader", "with_ai"),
)
READINGS = Table(
    "readings",
    METADATA,
    Column("assignment_id", Integer, ForeignKey("assignments.id"), primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("by", String(80), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("finished_at", String(40), nullable=False),
)
CHANGES = Table(
    "changes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("change_id", String(80), nullable=False, unique=True),
    Column("assignment_id", Integer, ForeignKey("assignments.id"), nullable=False),
    Column("base_version", Integer, nullable=False),
    Column("version", Integer),  # none where another change had come before
    Column("content", Text, nullable=False),
    Column("by", String(80), nullable=False),
    Column("at", String(40), nullable=False),
)
RESOLUTIONS = Table(
    "resolutions",
    METADATA,
    Column("change", Integer, ForeignKey("changes.id"), primary_key=True, autoincrement=False),
    Column("by", String(80), nullable=False),
    Column("at", String(40), nullable=False),
)
ADJUDICATIONS = Table(
    "adjudications",
    METADATA,
    Column("case_id", Integer, ForeignKey("cases.id"), primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),
    Column("by", String(80), nullable=False),
    Column("at", String(40), nullable=False),
)
AUDIT = Table(
    "audit",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("action", String(40), nullable=False),
    Column("case", String(80), nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("by", String(200), nullable=False),
    Column("model", Text, nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("core_version", String(40), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
# One row; whoever writes holds it, so that entries and versions follow one another.
AUDIT_HEAD = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("sequence", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
)

_REFUSE_FUNCTION = DDL(
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'rows of this table are only added'; END $$"
)
event.listen(METADATA, "before_create", _REFUSE_FUNCTION.execute_if(dialect="postgresql"))
for _table in (AUDIT, CHANGES, RESOLUTIONS):
    for _action in ("UPDATE", "DELETE"):
        _name = f"{_table.name}_no_{_action.lower()}"
        event.listen(
            _table,
            "after_create",
            DDL(
                f"CREATE TRIGGER {_name} BEFORE {_action} ON {_table.name} "
                "BEGIN SELECT RAISE(ABORT, 'rows of this table are only added'); END"
            ).execute_if(dialect="sqlite"),
        )
        event.listen(
            _table,
            "after_create",
            DDL(
                f"CREATE TRIGGER {_name} BEFORE {_action} ON {_table.name} "
                "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            ).execute_if(dialect="postgresql"),
        )
