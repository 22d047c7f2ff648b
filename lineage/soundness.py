"""Whether an ML Metadata database is one that ML Metadata wrote: rows of SQLite point to rows that are there.

Its tables have no foreign keys, and its C++ ends the whole process when it follows a pointer to nothing.
"""

from __future__ import annotations

import sqlite3

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


def dangling(database: sqlite3.Connection) -> str:
    """Returns what points to nothing, in words; empty if nothing does.

    Raises:
      sqlite3.DatabaseError: it cannot be read, or lacks a table.
    """
    for table, column, target in _POINTERS:
        sql = f"SELECT {column} FROM {table} WHERE {column} NOT IN (SELECT id FROM {target}) LIMIT 1"
        if found := database.execute(sql).fetchone():
            return f"{table}.{column} {found[0]}, but no {target} {found[0]}"
    return ""
