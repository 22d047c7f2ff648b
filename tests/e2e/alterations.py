"""Edits of what a finished run left, each undone afterwards, and a verification of what is there meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lineage.places import Places
from lineage.verify import Report, checking

# The node whose artifact it is -> the output; one of every type.
OUTPUTS = {
    "ExampleGen": "examples",
    "StatisticsGen": "statistics",
    "SchemaGen": "schema",
    "ExampleValidator": "anomalies",
    "FederatedSplit": "federated_examples",
    "Trainer": "model",
    "FederatedTrainer": "model_run",
    "BaselineEvaluator": "evaluation",
    "ServingCheck": "serving_report",
    "FederatedEvaluator": "client_metrics",
    "PairedEvaluator": "paired_scores",
    "Evaluator": "evaluation",
    "DeployGate": "blessing",
    "Pusher": "pushed_model",
    "RunReport": "report",
}
_MODEL = "(SELECT max(artifact_id) FROM ArtifactProperty WHERE name = 'algorithm')"
_PUSH = "(SELECT min(artifact_id) FROM ArtifactProperty WHERE name = 'pushed_version')"
_TRAINED = f"(SELECT min(execution_id) FROM Event WHERE artifact_id = {_MODEL} AND type = 4)"
_RUN = "(SELECT min(c.id) FROM Context c JOIN Type t ON c.type_id = t.id WHERE t.name = 'pipeline_run')"
_NODE = (
    "(SELECT c.id FROM Context c JOIN Type t ON c.type_id = t.id WHERE t.name = 'node' AND c.name LIKE '%.FederatedTrainer')"
)
_CACHE = (
    "(SELECT c.id FROM Context c JOIN Type t ON c.type_id = t.id JOIN Association a ON a.context_id = c.id"
    f" WHERE t.name = 'execution_cache' AND a.execution_id = {_TRAINED})"
)
# Removes what points to nothing, as whoever wants to leave no trace would.
_CLEAN = "; ".join(
    f"DELETE FROM {table} WHERE {column} NOT IN (SELECT id FROM {target})"
    for table, column, target in (
        ("Event", "artifact_id", "Artifact"),
        ("Event", "execution_id", "Execution"),
        ("EventPath", "event_id", "Event"),
        ("ArtifactProperty", "artifact_id", "Artifact"),
        ("ExecutionProperty", "execution_id", "Execution"),
        ("ContextProperty", "context_id", "Context"),
        ("Association", "execution_id", "Execution"),
        ("Association", "context_id", "Context"),
        ("Attribution", "artifact_id", "Artifact"),
        ("Attribution", "context_id", "Context"),
    )
)
# What is edited -> SQL, and what the finding must be about.
ALTERATIONS = {
    "artifact's uri": (f"UPDATE Artifact SET uri = uri || 'x' WHERE id = {_MODEL}", "Model"),
    "artifact's type": (f"UPDATE Artifact SET type_id = type_id - 1 WHERE id = {_MODEL}", "FederatedTrainer"),
    "artifact's name": (f"UPDATE Artifact SET name = 'x' WHERE id = {_MODEL}", "Model"),
    "artifact's state": (f"UPDATE Artifact SET state = 4 WHERE id = {_MODEL}", "Model"),
    "artifact's state, to one that no gc writes": (f"UPDATE Artifact SET state = 5 WHERE id = {_MODEL}", "Model"),
    "artifact's time": (f"UPDATE Artifact SET create_time_since_epoch = 1 WHERE id = {_MODEL}", "Model"),
    "artifact itself": (f"DELETE FROM Artifact WHERE id = {_MODEL}; {_CLEAN}", "artifact"),
    "name of a type": ("UPDATE Type SET name = 'Models' WHERE name = 'Model'", "Models"),
    "artifact's number": (
        f"UPDATE ArtifactProperty SET int_value = int_value + 1 WHERE artifact_id = {_MODEL} AND name = 'rounds'",
        "Model",
    ),
    "artifact's fraction": (
        f"UPDATE ArtifactProperty SET double_value = 1.0 WHERE artifact_id = {_MODEL} AND name = 'train_accuracy'",
        "Model",
    ),
    "artifact's text": (
        f"UPDATE ArtifactProperty SET string_value = 'x' WHERE artifact_id = {_MODEL} AND name = 'algorithm'",
        "Model",
    ),
    "artifact's struct": (
        "UPDATE ArtifactProperty SET string_value = replace(string_value, 'PA/', 'PAB') WHERE name = 'blessed'"
        " AND artifact_id IN (SELECT a.id FROM Artifact a JOIN Type t ON a.type_id = t.id WHERE t.name = 'ExampleAnomalies')",
        "ExampleAnomalies",
    ),
    "artifact's own property": (
        "UPDATE ArtifactProperty SET string_value = '[]' WHERE name = 'split_names' AND artifact_id = 1",
        "Examples 1",
    ),
    "kind of a property": (
        f"UPDATE ArtifactProperty SET is_custom_property = 0 WHERE artifact_id = {_MODEL} AND name = 'tfx_version'",
        "Model",
    ),
    "name of a property": (
        f"UPDATE ArtifactProperty SET name = 'cycles' WHERE artifact_id = {_MODEL} AND name = 'rounds'",
        "Model",
    ),
    "property itself": (f"DELETE FROM ArtifactProperty WHERE artifact_id = {_MODEL} AND name = 'rounds'", "Model"),
    "new property": (
        f"INSERT INTO ArtifactProperty(artifact_id, name, is_custom_property, int_value) VALUES ({_MODEL}, 'x', 1, 1)",
        "Model",
    ),
    "digest": (
        f"UPDATE ArtifactProperty SET string_value = '{'0' * 64}' WHERE artifact_id = {_MODEL} AND name = 'digest'",
        "Model",
    ),
    "pushed digest": (
        f"UPDATE ArtifactProperty SET string_value = '{'0' * 64}' WHERE artifact_id = {_PUSH} AND name = 'digest'",
        "PushedModel",
    ),
    "pushed version": (
        f"UPDATE ArtifactProperty SET string_value = '1' WHERE artifact_id = {_PUSH} AND name = 'pushed_version'",
        "PushedModel",
    ),
    "pushed destination": (
        f"UPDATE ArtifactProperty SET string_value = '/x/1' WHERE artifact_id = {_PUSH} AND name = 'pushed_destination'",
        "PushedModel",
    ),
    "pushed model": (
        f"UPDATE ArtifactProperty SET int_value = 1 WHERE artifact_id = {_PUSH} AND name = 'model_id'",
        "PushedModel",
    ),
    "whether it was pushed": (
        f"UPDATE ArtifactProperty SET int_value = 0 WHERE artifact_id = {_PUSH} AND name = 'pushed'",
        "PushedModel",
    ),
    "line of the log that a push wrote": (
        f"UPDATE ArtifactProperty SET string_value = 'x' WHERE artifact_id = {_PUSH} AND name = 'audit_digest'",
        "PushedModel",
    ),
    "execution's state": (f"UPDATE Execution SET last_known_state = 5 WHERE id = {_TRAINED}", "FederatedTrainer"),
    "execution's state, to running": (f"UPDATE Execution SET last_known_state = 2 WHERE id = {_TRAINED}", "FederatedTrainer"),
    "execution's type": (f"UPDATE Execution SET type_id = type_id + 1 WHERE id = {_TRAINED}", "FederatedTrainer"),
    "execution's name": (f"UPDATE Execution SET name = 'x' WHERE id = {_TRAINED}", "FederatedTrainer"),
    "execution's time": (f"UPDATE Execution SET create_time_since_epoch = 1 WHERE id = {_TRAINED}", "FederatedTrainer"),
    "execution itself": (f"DELETE FROM Execution WHERE id = {_TRAINED}; {_CLEAN}", "FederatedTrainer"),
    "new execution that never ended": (
        f"INSERT INTO Execution SELECT 900, type_id, 2, NULL, NULL, 1, 1 FROM Execution WHERE id = {_TRAINED};"
        f" INSERT INTO Event VALUES (9000, {_MODEL}, 900, 4, 1); INSERT INTO Association VALUES (9000, {_RUN}, 900)",
        "execution 900",
    ),
    "new execution that nothing is filed under": (
        f"INSERT INTO Execution SELECT 900, type_id, 3, NULL, NULL, 1, 1 FROM Execution WHERE id = {_TRAINED};"
        f" INSERT INTO Event VALUES (9000, {_MODEL}, 900, 4, 1)",
        "execution 900",
    ),
    "parameter": (
        f"UPDATE ExecutionProperty SET int_value = 7 WHERE execution_id = {_TRAINED} AND name = 'seed'",
        "FederatedTrainer",
    ),
    "parameter's text": (
        f"UPDATE ExecutionProperty SET string_value = '{{}}' WHERE execution_id = {_TRAINED} AND name = 'settings'",
        "FederatedTrainer",
    ),
    "event's artifact": (
        f"UPDATE Event SET artifact_id = 1 WHERE execution_id = {_TRAINED} AND type = 3",
        "FederatedTrainer",
    ),
    "event's execution": (
        f"UPDATE Event SET execution_id = 1 WHERE execution_id = {_TRAINED} AND type = 3",
        "FederatedTrainer",
    ),
    "event's kind": (f"UPDATE Event SET type = 3 WHERE execution_id = {_TRAINED} AND type = 4", "FederatedTrainer"),
    "event's time": (f"UPDATE Event SET milliseconds_since_epoch = 1 WHERE execution_id = {_TRAINED}", "FederatedTrainer"),
    "event itself": (f"DELETE FROM Event WHERE execution_id = {_TRAINED} AND type = 4; {_CLEAN}", "FederatedTrainer"),
    "new event": (
        f"INSERT INTO Event(artifact_id, execution_id, type, milliseconds_since_epoch) VALUES (1, {_TRAINED}, 3, 1)",
        "FederatedTrainer",
    ),
    "key of an event": (
        f"UPDATE EventPath SET step_key = 'x' WHERE NOT is_index_step AND event_id IN"
        f" (SELECT id FROM Event WHERE execution_id = {_TRAINED})",
        "FederatedTrainer",
    ),
    "index of an event": (
        f"UPDATE EventPath SET step_index = 9 WHERE is_index_step AND event_id IN"
        f" (SELECT id FROM Event WHERE execution_id = {_TRAINED})",
        "FederatedTrainer",
    ),
    "kind of a step": (
        f"UPDATE EventPath SET is_index_step = 1, step_index = 0 WHERE NOT is_index_step AND event_id IN"
        f" (SELECT id FROM Event WHERE execution_id = {_TRAINED})",
        "FederatedTrainer",
    ),
    "step of an event": (
        f"DELETE FROM EventPath WHERE is_index_step AND event_id IN (SELECT id FROM Event WHERE execution_id = {_TRAINED})",
        "FederatedTrainer",
    ),
    "run's name": (f"UPDATE Context SET name = 'x' WHERE id = {_RUN}", "run "),
    "run itself": (f"DELETE FROM Context WHERE id = {_RUN}; {_CLEAN}", "run "),
    "run's number": (f"UPDATE ContextProperty SET int_value = 7 WHERE context_id = {_RUN} AND name = 'seed'", "run "),
    "run's text": (
        f"UPDATE ContextProperty SET string_value = 'x' WHERE context_id = {_RUN} AND name = 'code_version'",
        "run ",
    ),
    "run's config": (
        f"UPDATE ContextProperty SET string_value = 'x' WHERE context_id = {_RUN} AND name = 'config_digest'",
        "run ",
    ),
    "run's line of the log": (
        f"UPDATE ContextProperty SET string_value = 'x' WHERE context_id = {_RUN} AND name = 'audit_digest'",
        "end of run",
    ),
    "execution's run": (
        f"DELETE FROM Association WHERE execution_id = {_TRAINED} AND context_id = {_RUN}",
        "FederatedTrainer",
    ),
    "execution's cache": (
        f"DELETE FROM Association WHERE execution_id = {_TRAINED} AND context_id = {_CACHE}",
        "FederatedTrainer",
    ),
    "name of a cache": (f"UPDATE Context SET name = 'x' WHERE id = {_CACHE}", "FederatedTrainer"),
    "name of a node": (f"UPDATE Context SET name = 'x' WHERE id = {_NODE}", "FederatedTrainer"),
    "execution of another run": (
        f"UPDATE Association SET execution_id = {_TRAINED} - 1 WHERE execution_id = {_TRAINED} AND context_id = {_NODE}",
        "FederatedTrainer",
    ),
    "execution's node": (
        f"UPDATE Association SET context_id = {_RUN} + 1 WHERE execution_id = {_TRAINED} AND context_id = {_NODE}",
        "FederatedTrainer",
    ),
}


@dataclass(frozen=True)
class Finished:
    """What runs left below a folder."""

    root: Path
    serving_root: Path
    metadata: Path

    def verify(self, *, everything: bool = False) -> Report:
        """Verifies what is live, in this process."""
        places = Places(str(self.root), str(self.serving_root), str(self.metadata))
        with places.opened() as store:
            find = checking.all_versions if everything else checking.live_models
            return checking.verify(store, places, find(store, places), everything=everything)

    @contextlib.contextmanager
    def kept(self, file: Path) -> Iterator[Path]:
        """Gives a file that may be edited, and puts back its bytes, mode and times."""
        copy = self.root / f".{file.name}.kept"
        shutil.copy2(file, copy)
        try:
            yield file
        finally:
            os.replace(copy, file)

    @contextlib.contextmanager
    def edited(self, sql: str) -> Iterator[None]:
        """ML Metadata after a change that nothing but SQL made."""
        with self.kept(self.metadata):
            database = sqlite3.connect(self.metadata)
            with database:
                database.executescript(sql)
            assert database.total_changes, sql
            database.close()
            yield

    @contextlib.contextmanager
    def one_byte_changed(self, file: Path, at: int) -> Iterator[None]:
        """A file in which one bit of one byte differs."""
        with self.kept(file):
            content = bytearray(file.read_bytes())
            content[at] ^= 1
            file.write_bytes(content)
            yield

    def files(self, node: str, output: str) -> list[Path]:
        """The files of a node's newest artifact, none empty, sorted."""
        [pipeline] = {path.parent.parent for path in self.root.glob(f"*/{node}/{output}")}
        newest = max((pipeline / node / output).iterdir(), key=lambda folder: int(folder.name))
        return sorted(path for path in newest.rglob("*") if path.is_file() and path.stat().st_size)
