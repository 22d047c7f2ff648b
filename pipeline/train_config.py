"""The federated training: the `train` section of the config, and what in it does not go together."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar

from components.federated_trainer.privacy import accounting
from components.federated_trainer.privacy.accounting import LARGEST_TARGET, SAMPLING_OF
from components.federated_trainer.schedules import multiplier
from errors import ConfigError
from pipeline.strict_yaml import REQUIRED, Section, flag, number, one_of, optional, shown, whole, wrong
from pipeline.train_sections import (
    AggregationConfig,
    CheckpointConfig,
    ClientSchedule,
    EvaluationConfig,
    ParticipationConfig,
    PrivacyConfig,
    ServerSchedule,
)

_LOCAL: dict[str, Any] = {
    "local_epochs": 1,
    "shuffle": True,
    "client_learning_rate": 0.1,
    "client_schedule": ClientSchedule(),
}
_ONE_PASS = {"local_epochs": 1, "shuffle": False, "client_learning_rate": 1.0, "client_schedule": asdict(ClientSchedule())}
"""What `_LOCAL` amounts to for an algorithm that takes one gradient at the global weights."""

ALGORITHMS: dict[str, dict[str, Any]] = {
    "fedavg": _LOCAL,
    "fedavgm": {**_LOCAL, "momentum": 0.9},
    "fedadam": {**_LOCAL, "beta_1": 0.9, "beta_2": 0.99, "adaptivity": 1e-3},
    "fedyogi": {**_LOCAL, "beta_1": 0.9, "beta_2": 0.99, "adaptivity": 1e-3, "initial_accumulator": 0.0},
    "fedadagrad": {**_LOCAL, "adaptivity": 1e-3, "initial_accumulator": 0.0},
    "fedprox": {**_LOCAL, "proximal_strength": REQUIRED},
    "fedsgd": {},
    "mime_lite": {**_LOCAL, "momentum": 0.9},
    "scaffold": _LOCAL,
    "qfedavg": {**_LOCAL, "q": REQUIRED},
}
"""Algorithm -> the keys that not every algorithm uses -> their defaults."""

_FEDERATED: dict[str, Any] = {
    "algorithm": "fedavg",
    "executor": "local",
    "rounds": REQUIRED,
    "clients_per_round": None,
    "weighting": "examples",
    "batch_size": 20,
    "max_examples": None,
    "server_learning_rate": 1.0,
    "server_schedule": ServerSchedule(),
    "participation": ParticipationConfig(),
    "aggregation": AggregationConfig(),
    "privacy": None,
    "evaluation": EvaluationConfig(),
    "export": "last",
    "average_decay": None,
    "checkpoint": CheckpointConfig(),
    **{name: None for used in ALGORITHMS.values() for name in used},
}
MODES: dict[str, dict[str, Any]] = {"federated": _FEDERATED, "centralised": {}, "warm_start": _FEDERATED}
"""Mode -> the keys of `train` that it uses -> their defaults."""

_STATE_OF_CLIENTS = ("scaffold", "mime_lite")
"""Algorithms whose clients report more than a change of the weights, or keep something between rounds."""
_NOT_PRIVATE = (*_STATE_OF_CLIENTS, "qfedavg")
_LEAST_RATE = 1.2e-38
"""Learning rates below it are 0 to the clients, who compute in float32."""


_Count = Annotated[int | None, optional(whole(1))]
_Rate = Annotated[float | None, optional(number(above=0))]
_Decay = Annotated[float | None, optional(number(least=0, below=1))]
_Strength = Annotated[float | None, optional(number(least=0))]


@dataclass(frozen=True)
class TrainConfig(Section):
    """How the model that may go live is trained. What the mode or the algorithm does not use is None."""

    SECTION: ClassVar[str] = "train"
    mode: Annotated[str, one_of(*MODES)] = "federated"
    """federated; centralised: the baseline itself; warm_start: federated, beginning with the baseline's weights."""
    algorithm: Annotated[str | None, optional(one_of(*ALGORITHMS))] = None
    executor: Annotated[str | None, optional(one_of("local", "beam", "tff"))] = None
    rounds: _Count = None
    clients_per_round: _Count = None
    """Their number, or its expectation with Poisson sampling; None with full sampling."""
    weighting: Annotated[str | None, optional(one_of("examples", "uniform"))] = None
    local_epochs: _Count = None
    batch_size: _Count = None
    shuffle: Annotated[bool | None, optional(flag())] = None
    max_examples: _Count = None
    """Most examples of a client in a round."""
    client_learning_rate: _Rate = None
    server_learning_rate: _Rate = None
    client_schedule: ClientSchedule | None = None
    server_schedule: ServerSchedule | None = None
    momentum: _Decay = None
    beta_1: _Decay = None
    beta_2: _Decay = None
    adaptivity: _Rate = None
    """Added to the denominator of adaptive server optimizers (tau; Reddi 2021)."""
    initial_accumulator: _Strength = None
    proximal_strength: _Strength = None
    """FedProx's mu (Li 2020)."""
    q: _Strength = None
    """q-FedAvg's fairness (Li 2020): the larger, the more the clients with a high loss count."""
    participation: ParticipationConfig | None = None
    aggregation: AggregationConfig | None = None
    privacy: PrivacyConfig | None = None
    evaluation: EvaluationConfig | None = None
    export: Annotated[str | None, optional(one_of("last", "best", "average"))] = None
    average_decay: Annotated[float | None, optional(number(above=0, below=1))] = None
    """The share of the old average in the exponential moving average of the server's weights."""
    checkpoint: CheckpointConfig | None = None

    def validate(self) -> None:
        alone = "; --set 'train={mode: centralised}' leaves out all the others" if self.mode == "centralised" else ""
        self._keep_used("mode", MODES, alone)
        if self.federated:
            self._keep_used("algorithm", ALGORITHMS)
            self._used_with("export average", self.export == "average", average_decay=0.99)
            _check_cohort(self)
            _check_stragglers(self)
            _check_aggregation(self)
            _check_schedules(self)
            _check_privacy(self)
            _check_target(self)
            _check_export(self)
            _check_warm_start(self)

    @property
    def federated(self) -> bool:
        """Whether there is a federated training at all."""
        return self.mode != "centralised"

    def settings(self, population: str) -> dict[str, Any]:
        """Returns all of it as plain values, which FederatedTrainer takes; what the algorithm does not use is neutral or None.

        Args:
          population: the name for `privacy.population` where the config gives none.
        """
        plain = {**asdict(self), **{key: value for key, value in _ONE_PASS.items() if getattr(self, key) is None}}
        if plain["privacy"] is not None and plain["privacy"]["population"] is None:
            plain["privacy"]["population"] = population
        return plain

    def check_population(self, where: str, clients: int) -> None:
        """Refuses what a number of clients to train on rules out.

        Args:
          where: what says how many there are, for the error.
          clients: at most so many are there.

        Raises:
          ConfigError: the cohort is larger than that, or too small for what is to be done with it.
        """
        if not self.federated:
            return
        if self.clients_per_round is None:
            _check_updates(self, where, clients)
        elif self.clients_per_round > clients:
            raise ConfigError(f"train.clients_per_round: expected at most {where} ({clients}), got {self.clients_per_round}")
        if self.privacy is not None:
            if self.privacy.delta >= 1 / clients:
                raise wrong("train.privacy.delta", f"below 1 / {where} ({1 / clients:g})", self.privacy.delta)
            _check_noise(self, clients)


def _check_cohort(train: TrainConfig) -> None:
    sampling = train.participation.sampling if train.participation else ""
    if sampling == "full":
        if train.clients_per_round is not None:
            raise ConfigError(
                "train.clients_per_round: not used by participation.sampling 'full', which takes every client; got"
                f" {train.clients_per_round}"
            )
    elif train.clients_per_round is None:
        raise ConfigError(f"train.clients_per_round: required by participation.sampling {sampling!r}")
    else:
        _check_updates(train, "train.clients_per_round", train.clients_per_round)


def _check_updates(train: TrainConfig, where: str, cohort: int) -> None:
    """Refuses what a cohort of this size cannot give: a quorum, or enough updates for a robust rule."""
    assert train.participation and train.aggregation
    if train.participation.quorum > cohort:
        raise wrong("train.participation.quorum", f"at most {where} ({cohort})", train.participation.quorum)
    rule, least = train.aggregation.rule, train.aggregation.least_updates()
    if least > cohort:
        raise ConfigError(
            f"train.aggregation.byzantine: rule {rule!r} needs at least {least} clients in a round to stand"
            f" {train.aggregation.byzantine}; {where} is {cohort}"
        )


def _check_stragglers(train: TrainConfig) -> None:
    assert train.participation
    slow = train.participation.stragglers > 0 and train.participation.straggler_work == "partial"
    if slow and (train.local_epochs or 1) == 1:
        raise ConfigError(
            "train.participation.straggler_work: partial work is some of the epochs, and there is one; set straggler_work to"
            " none, or train.local_epochs above 1"
        )


def _check_aggregation(train: TrainConfig) -> None:
    assert train.aggregation
    if train.algorithm == "qfedavg" and (key := train.aggregation.beyond_mean()):
        raise _apart(train.aggregation, key, "algorithm 'qfedavg', which combines updates in a way of its own")
    if train.algorithm in _STATE_OF_CLIENTS and (key := train.aggregation.beyond_mean()):
        more = "whose clients send more than a change of the weights, which only a plain mean keeps right"
        raise _apart(train.aggregation, key, f"algorithm {train.algorithm!r}, {more}")


def _check_schedules(train: TrainConfig) -> None:
    """Refuses learning rates that reach 0: a round learns nothing then, and some algorithms divide by the rate."""
    assert train.rounds
    for side in ("client", "server"):
        schedule, rate = getattr(train, f"{side}_schedule"), getattr(train, f"{side}_learning_rate")
        if schedule is None or schedule.kind == "constant" or rate * multiplier(asdict(schedule), train.rounds) >= _LEAST_RATE:
            continue  # after the warm-up no kind rises, so the last round tells of all
        floor = "" if schedule.floor is None else " floor above 0 or"
        raise ConfigError(
            f"train.{side}_schedule: expected a learning rate above 0 in all {train.rounds} rounds; kind {schedule.kind!r} with"
            f" decay_rounds {schedule.decay_rounds} reaches 0; set{floor} more decay_rounds"
        )


def _check_privacy(train: TrainConfig) -> None:
    if train.privacy is None:
        return
    assert train.aggregation and train.participation
    if train.weighting != "uniform":
        raise wrong("train.weighting", "uniform with train.privacy, where each client counts the same", train.weighting)
    if train.algorithm in _NOT_PRIVATE:
        raise ConfigError(f"train.privacy: does not go with algorithm {train.algorithm!r}; choose another, or leave it out")
    if key := train.aggregation.beyond_mean():
        raise _apart(train.aggregation, key, "train.privacy, which clips and adds its noise to a plain mean")
    if train.participation.quorum > 1:
        always = "1 with train.privacy, where every round is released: a repeated one would tell how many reported"
        raise wrong("train.participation.quorum", always, train.participation.quorum)
    allowed = SAMPLING_OF[train.privacy.mechanism]
    if train.participation.sampling not in allowed:
        with_mechanism = f"{' or '.join(allowed)} with train.privacy.mechanism {train.privacy.mechanism!r}"
        raise wrong("train.participation.sampling", with_mechanism, train.participation.sampling)


def _check_noise(train: TrainConfig, clients: int) -> None:
    """Refuses noise that drowns what the cohort has to say, be it given or found for a target epsilon."""
    assert train.privacy and train.participation and train.rounds
    described: dict[str, Any] = {
        "mechanism": train.privacy.mechanism,
        "sampling": train.participation.sampling,
        "noise_multiplier": train.privacy.noise_multiplier or 0.0,
        "clients_per_round": train.clients_per_round or clients,
        "population": clients,
        "rounds": train.rounds,
        "adaptive_clip": train.privacy.clip == "adaptive",
    }
    release = accounting.Release(**described)
    if train.privacy.target_epsilon is not None:
        _check_calibrated(release, train.privacy.target_epsilon, train.privacy.delta)
    else:
        accounting.check(release, train.privacy.delta)


def _check_calibrated(release: accounting.Release, target_epsilon: float, delta: float) -> None:
    """Checks the noise that the training will find. The cheap bound asks for more of it, so it may accept, but not refuse."""
    try:
        accounting.check(replace(release, noise_multiplier=accounting.calibrate(release, target_epsilon, delta, "rdp")), delta)
    except ConfigError:
        accounting.check(replace(release, noise_multiplier=accounting.calibrate(release, target_epsilon, delta)), delta)


def _check_target(train: TrainConfig) -> None:
    target = train.privacy.target_epsilon if train.privacy else None
    if target is not None and target > LARGEST_TARGET:
        raise wrong("train.privacy.target_epsilon", f"a number above 0 and of at most {LARGEST_TARGET:g}", target)


def _check_warm_start(train: TrainConfig) -> None:
    assert train.evaluation
    if train.mode == "warm_start" and train.evaluation.every:
        raise ConfigError(
            "train.evaluation.every: does not go with mode 'warm_start', whose baseline was fitted to the examples that are"
            f" held out as well, so they judge nothing; got {train.evaluation.every}, leave it out"
        )


def _check_export(train: TrainConfig) -> None:
    assert train.evaluation and train.rounds
    if train.export == "best" and not 0 < train.evaluation.every <= train.rounds:
        raise wrong("train.evaluation.every", f"1 to train.rounds ({train.rounds}) with export 'best'", train.evaluation.every)


def _apart(aggregation: AggregationConfig, key: str, other: str) -> ConfigError:
    given: Mapping[str, Any] = asdict(aggregation)
    return ConfigError(f"train.aggregation.{key}: does not go with {other}; got {shown(given[key])}")
