"""Whether an ML Metadata database is one that ML Metadata wrote: rows point to rows that are there, values are of their kind.

Its tables have no foreign keys, SQLite keeps text in a column of numbers, and ML Metadata's C++ ends the whole process when it
follows a pointer to nothing or meets a value of another kind.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator

# Table, its column, and the table that the column points into by id.
_POINTERS = (
    ("Artifact", "type_id", "Type"),
    ("Execution", "type_id", "Type"),
    ("Context", "type_id", "Type"),
    ("ArtifactProperty", "artifact_id", "Artifact"),
    ("ExecutionProperty", "execution_id", "Execution"),
    ("ContextProperty", "context_id", "Context"),
    ("Event", "artifact_id", "Artifact"),
    ("Event", "execution_id", "Execution"),
    ("EventPath", "event_id", "Event"),
    ("Association", "context_id", "Context"),
    ("Association", "execution_id", "Execution"),
    ("Attribution", "context_id", "Context"),
    ("Attribution", "artifact_id", "Artifact"),
)
# Table, what must be so of every row, and that in words. Enums as in ml_metadata's metadata_store.proto.
_RULES = (
    ("Type", "type_kind IN (0, 1, 2)", "a type_kind of 0 to 2"),
    ("Artifact", "state IS NULL OR state BETWEEN 0 AND 6", "a state of 0 to 6"),
    ("Execution", "last_known_state IS NULL OR last_known_state BETWEEN 0 AND 6", "a last_known_state of 0 to 6"),
    ("Event", "type BETWEEN 0 AND 7", "a type of 0 to 7"),
    ("EventPath", "CASE is_index_step WHEN 1 THEN step_index IS NOT NULL WHEN 0 THEN step_key IS NOT NULL END", "key or index"),
    ("ArtifactProperty", "is_custom_property IN (0, 1)", "an is_custom_property of 0 or 1"),
    ("ExecutionProperty", "is_custom_property IN (0, 1)", "an is_custom_property of 0 or 1"),
    ("ContextProperty", "is_custom_property IN (0, 1)", "an is_custom_property of 0 or 1"),
)
_STRUCT = b"mlmd-struct::"
_WITH_STRUCTS = ("ArtifactProperty", "ExecutionProperty", "ContextProperty")
_NO_POINTERS = ("TypeProperty", "ParentType", "ParentContext", "MLMDEnv")
_NUMBERS, _TEXTS, _BYTES = "'integer'", "'text'", "'blob', 'text'"
_KINDS = {"INT": _NUMBERS, "TINYINT": _NUMBERS, "INTEGER": _NUMBERS, "BOOLEAN": _NUMBERS, "DOUBLE": "'real', 'integer'"}
_KINDS |= {"VARCHAR": _TEXTS, "TEXT": _TEXTS, "BLOB": _BYTES}


def problem(database: sqlite3.Connection) -> str:
    """Returns the first thing that ML Metadata would not have written, in words; empty if there is none.

    Raises:
      sqlite3.DatabaseError: it cannot be read, or lacks a table.
    """
    return next(_problems(database), "")


def _problems(database: sqlite3.Connection) -> Iterator[str]:
    for table, column, target in _POINTERS:
        sql = f"SELECT {column} FROM {table} WHERE {column} NOT IN (SELECT id FROM {target}) LIMIT 1"
        if found := database.execute(sql).fetchone():
            yield f"{table}.{column} {found[0]}, but no {target} {found[0]}"
    for table in dict.fromkeys([*(table for table, *_ in (*_POINTERS, *_RULES)), *_NO_POINTERS]):
        yield from _of_another_kind(database, table)
    for table in _WITH_STRUCTS:
        yield from _structs(database, table)
    for table, rule, words in _RULES:
        if found := database.execute(f"SELECT rowid FROM {table} WHERE ({rule}) IS NOT 1 LIMIT 1").fetchone():
            yield f"row {found[0]} of {table} without {words}"


def _structs(database: sqlite3.Connection, table: str) -> Iterator[str]:
    """Structs that are none: ML Metadata keeps them as text, and says so in bytes that Python cannot read."""
    from google.protobuf.struct_pb2 import Struct

    sql = f"SELECT rowid, CAST(string_value AS BLOB) FROM {table} WHERE string_value LIKE '{_STRUCT.decode()}%'"
    for row, text in database.execute(sql):
        try:
            Struct.FromString(base64.b64decode(text.removeprefix(_STRUCT), validate=True))
        except Exception:  # base64's and protobuf's, which has one class in C++ and another in Python
            yield f"no struct in {table}.string_value, row {row}"


def _of_another_kind(database: sqlite3.Connection, table: str) -> Iterator[str]:
    """Values that are of another kind than their column says, and those that are missing where one must be."""
    for _, column, declared, required, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
        kinds = _KINDS.get(declared.partition("(")[0], "'integer', 'real', 'text', 'blob'") + ", 'null'" * (not required)
        sql = f"SELECT rowid, typeof({column}) FROM {table} WHERE typeof({column}) NOT IN ({kinds}) LIMIT 1"
        if found := database.execute(sql).fetchone():
            yield f"{found[1]} in {table}.{column}, row {found[0]}"
