"""One run of a pipeline on this machine, from config to exit code."""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TextIO

from components.beam_errors import cause_of
from components.federated_trainer import checkpoints
from errors import ConfigError, DataError, FedtfxError
from modeling import check, contract, stopping
from pipeline import dead_runs, execution, gate, places, provenance, run_log, signing_key
from pipeline.config import DataConfig, PipelineConfig
from pipeline.environment import Environment
from pipeline.interruption import MESSAGE
from pipeline.markdown import as_markdown
from pipeline.progress import Progress, logged_to, show
from pipeline.strict_yaml import guess
from pipeline.summary import Summary, as_text, summarise, unfinished
from serving import layout, servers

logger = logging.getLogger(__name__)
REFUSED = 10


def run(config: PipelineConfig, options: argparse.Namespace) -> int:
    """Runs `config` as local_runner's options say, shows it, and returns the exit code.

    Raises:
      FedtfxError: one line for the user; its exit_code is the runner's.
      KeyboardInterrupt: the run was interrupted, and what it had half done is cleared.
    """
    environment = Environment.local(
        options.pipeline_root,
        options.serving_root,
        cache=not options.no_cache,
        model_servers=options.model_server,
        signing_key=signing_key.check(options.signing_key, options.pipeline_root),
    )
    run_id = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d-%H%M%S.%f")
    log = os.path.join(environment.root, "logs", f"{config.name}-{run_id}.log")
    with execution.exclusive(environment), logged_to(log) as screen:
        for file in filter(None, (options.json, options.summary)):
            places.remove_file(file)
        show(screen, f"{config.name}: run {run_id}, log in {places.shown(log)}\n")
        summary, error = _attempt(config, environment, run_id, log, options.again_from, screen)
        _tell(options, config.name, summary)
        if error is None:
            show(screen, as_text(summary, environment) + "\n")
        elif summary.pushed:
            what = "live" if summary.pushed["live"] else "pushed"
            show(
                screen,
                f"  version {summary.pushed['version']} is {what} all the same: {places.shown(summary.pushed['path'])}\n",
            )
    if error is not None:
        raise error
    return 0 if summary.pushed else REFUSED


def check_places(name: str, options: argparse.Namespace) -> None:
    """Refuses folders that a run of the pipeline `name` could not write to, model servers it could not ask, and a bad key.

    Raises:
      ConfigError: one line that names the option.
    """
    places.check_folder("--pipeline-root", options.pipeline_root)
    places.check_folder("--serving-root", options.serving_root)
    places.check_folder("--serving-root", os.path.join(options.serving_root, name))
    signing_key.check(options.signing_key, options.pipeline_root)
    servers.check_addresses("--model-server", options.model_server)
    if layout.live_version(os.path.join(options.serving_root, name)) is not None:
        _check_servers(name, options.model_server)


def _check_servers(name: str, addresses: Sequence[str]) -> None:
    """Better now than when the model is live everywhere else; a server that has nothing to serve yet may be waiting for it."""
    for address in addresses:
        if problem := servers.ask(address, name).problem:
            raise ConfigError(
                f"--model-server: expected a model server at {address}, got no answer ({problem}); start it, or leave it out."
            )


def tell_refusal(options: argparse.Namespace, reason: str) -> None:
    """Writes the result of a command that was refused before there was a run: it has neither an id nor places."""
    result = unfinished(Environment.local(), "", (), "", reason)
    _tell(options, os.path.basename(options.config), replace(result, run_id=None, paths=dict.fromkeys(result.paths)))


def _tell(options: argparse.Namespace, name: str, summary: Summary) -> None:
    """Writes what the options ask for: the result for machines, and for the page of a CI job."""
    if options.json is not None:
        places.write_file(options.json, json.dumps(summary.as_json(), indent=2) + "\n")
    if options.summary is not None:
        places.write_file(options.summary, as_markdown(name, summary))


def _attempt(
    config: PipelineConfig, environment: Environment, run_id: str, log: str, again_from: str | None, screen: TextIO
) -> tuple[Summary, BaseException | None]:
    """What came of the run, and what is to be raised when its books are closed."""
    progress = Progress(screen)
    try:
        _prepare(config, environment, run_id, screen)
        return summarise(config, environment, run_id, _nodes(config, environment, run_id, again_from, progress), log), None
    except KeyboardInterrupt as interrupt:
        return unfinished(environment, run_id, progress.results, log, MESSAGE), interrupt
    except Exception as error:  # our own errors have their line; anything else is a defect, whose traceback goes to the log
        explained = _explained(error, log)
        return unfinished(environment, run_id, progress.results, log, str(explained)), explained


def _prepare(config: PipelineConfig, environment: Environment, run_id: str, screen: TextIO) -> None:
    lint(config)
    signing_key.prepare(environment)
    places.check_database(environment.metadata_path)
    log = run_log.RunLog.of(environment, config.name, run_id)
    log.entries()
    dead = dead_runs.clean(environment, config.name, f"found running when run {run_id} began: its process had died")
    _with_store(environment, log.close_dead)
    if dead:
        show(screen, f"  an earlier run died in {', '.join(dead)}; what it left half done was cleared\n")


def lint(config: PipelineConfig) -> None:
    """Refuses, before anything runs, what could not work: the model module, metrics, the gate's features, no data.

    Raises:
      ConfigError: one line.
    """
    module = contract.load(config.model)
    check.check(module)
    _check_metrics(config, module)
    gate.lint(config, module)
    _check_data(config.data)


def _check_metrics(config: PipelineConfig, module: contract.ModelModule) -> None:
    """Refuses metrics to stop or to choose by that the module does not have."""
    if config.baseline.stop_at is not None:
        stopping.stopping_metric(module)
    chosen = config.train.evaluation.metric if config.train.evaluation else None
    known = ["loss", *(metric.name for metric in module.build_metrics())]
    if chosen is not None and chosen not in known:
        hint = guess(chosen, known) or ";"
        raise ConfigError(f"train.evaluation.metric: no metric {chosen!r}{hint} known: {', '.join(known)}")


def _check_data(data: DataConfig) -> None:
    """Refuses data that are not there, on this machine; what the files hold is looked at when ExampleGen runs."""
    if data.path is None or "://" in data.path:
        return
    from components.example_gens import component, files

    given = [pattern for pattern in data.splits.values() if isinstance(pattern, str)]
    for pattern in given or [component.FORMATS[data.format].default_pattern]:
        if "{" in pattern:  # TFX fills in a span or a version
            continue
        try:
            files.require(data.path, pattern)
        except DataError as error:
            raise ConfigError(f"data.path: {error}") from error


def _nodes(
    config: PipelineConfig, environment: Environment, run_id: str, again_from: str | None, progress: Progress
) -> list[execution.NodeResult]:
    from pipeline.dag import create_pipeline

    dag = create_pipeline(config, environment)
    log = run_log.RunLog.of(environment, config.name, run_id)
    try:
        with progress:
            results = execution.run(dag, environment, run_id, progress, facts=provenance.record(config), again_from=again_from)
    except (KeyboardInterrupt, execution.NodeFailed) as error:  # an execution whose driver raised is still RUNNING
        _give_up(environment, log, run_log.FAILED if isinstance(error, execution.NodeFailed) else run_log.INTERRUPTED)
        raise
    checkpoints.sweep(environment.state_dir)  # what was trained is published
    _with_store(environment, log.ended)
    return results


def _give_up(environment: Environment, log: run_log.RunLog, outcome: str) -> None:
    """Closes the books of a run that did not come to its end; why it did not is what must be told, whatever is wrong here."""
    try:
        dead_runs.clean(environment, log.pipeline, f"run {log.run} {'was ' * (outcome != run_log.FAILED)}{outcome}")
        _with_store(environment, lambda store: log.ended(store, outcome))
    except FedtfxError as problem:
        logger.error("the books of run %s were not closed: %s", log.run, problem)


def _with_store(environment: Environment, told: Callable[[Any], None]) -> None:
    """Calls it with ML Metadata, if there is any yet."""
    from tfx.orchestration import metadata

    if os.path.exists(environment.metadata_path):
        with metadata.Metadata(environment.metadata_connection()) as handle:
            told(handle.store)


def _explained(error: Exception, log: str) -> FedtfxError:
    """An error in one line: its own words if it is a user's to mend, else what was raised and where the log is."""
    where = f"see {places.shown(log)}"
    if isinstance(error, execution.NodeFailed):
        return _explained_node(error, where)
    if isinstance(error, FedtfxError):
        return error
    logger.error("internal error", exc_info=error)
    return FedtfxError(f"internal error: {type(error).__name__}: {contract.one_line(error)}; {where}")


def _explained_node(failure: execution.NodeFailed, where: str) -> FedtfxError:
    cause = failure.cause or RuntimeError(failure.recorded)
    logger.error("%s", failure, exc_info=cause)
    known = cause_of(cause)
    if known:  # a ConfigError found so late is no longer a config that nothing ran for
        kind = FedtfxError if isinstance(known, ConfigError) else type(known)
        return kind(f"{failure}: {known}")
    if failure.cause is None:
        return FedtfxError(f"{failure}; {where}")
    return FedtfxError(f"{failure}: {type(cause).__name__}: {contract.one_line(cause)}; {where}")
