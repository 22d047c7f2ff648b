"""What a model must reach to be served: the `gate` section of the config, and what it does not go together with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, ClassVar

from components.scores import HIGHER_IS_BETTER, PRINCIPAL
from errors import ConfigError
from pipeline.gate_sections import (
    BaselineGate,
    Bounds,
    ChangeBounds,
    ClientsGate,
    ParticipationGate,
    PrivacyGate,
    ServingGate,
    SliceGate,
    bounds_by_metric,
    changes_by_metric,
    distinct_slices,
    metric_name,
    parameters_by_metric,
)
from pipeline.split_config import SplitConfig
from pipeline.strict_yaml import Section, flag, items_of, one_of, optional, text, wrong
from pipeline.train_config import TrainConfig

__all__ = ["Bounds", "ChangeBounds", "GateConfig"]


@dataclass(frozen=True)
class GateConfig(Section):
    """What a model must reach to be served. Metrics are named by class: TFMA's, or Keras's. The mappings are read-only."""

    SECTION: ClassVar[str] = "gate"
    thresholds: Annotated[Mapping[str, Bounds], bounds_by_metric] = field(default_factory=dict)
    """Bounds for metrics over all examples."""
    better_than_constant: Annotated[bool, flag()] = True
    """Whether the principal metric must be better than that of the best constant prediction."""
    change: Annotated[Mapping[str, ChangeBounds] | None, optional(changes_by_metric)] = None
    """Bounds for candidate minus served model, once a model is served; None: a default for the kind of model."""
    first_deploy: Annotated[str, one_of("refuse", "allow")] = "refuse"
    """Whether a model may go live while nothing is served to compare it with."""
    slices: Annotated[tuple[SliceGate, ...], distinct_slices] = ()
    """Features by whose values the metrics are computed as well."""
    metrics: Annotated[tuple[str, ...], items_of(metric_name, "a list of metric names")] = ()
    """Further metrics, only reported."""
    parameters: Annotated[Mapping[str, Mapping[str, Any]], parameters_by_metric] = field(default_factory=dict)
    """Arguments of the metrics' constructors, for TFMA."""
    clients: ClientsGate | None = None
    """None where no client is evaluated."""
    baseline: BaselineGate | None = None
    privacy: PrivacyGate | None = None
    participation: ParticipationGate = field(default_factory=ParticipationGate)
    serving: ServingGate = field(default_factory=ServingGate)
    approvals: Annotated[str | None, optional(text())] = None
    """The file of those who force or hold a decision."""

    def validate(self) -> None:
        if not self.thresholds and not self.better_than_constant:
            raise ConfigError(
                "gate.thresholds: no threshold; a gate needs at least one, such as {SparseCategoricalAccuracy: {min: 0.9}}, or"
                " better_than_constant"
            )

    def settings(self, kind: str, seed: int) -> dict[str, Any]:
        """Returns all of it as plain JSON values with every default filled in, which DeployGate and the judges take.

        Args:
          kind: classes, binary or regression: what decides the defaults.
          seed: the config's, of the bootstrap.
        """
        change = default_change(kind) if self.change is None else self.change
        return {
            "kind": kind,
            "first_deploy": self.first_deploy,
            "thresholds": _each(self.thresholds),
            "parameters": {name: dict(given) for name, given in self.parameters.items()},
            "change": _each(change),
            "metrics": list(self.metrics),
            "slices": [_slice(each) for each in self.slices],
            "better_than_constant": self.better_than_constant,
            "clients": None if self.clients is None else _clients(self.clients, PRINCIPAL[kind]),
            "baseline": None if self.baseline is None else _baseline(self.baseline, PRINCIPAL[kind]),
            "privacy": None if self.privacy is None else asdict(self.privacy),
            "participation": asdict(self.participation),
            "serving": {**asdict(self.serving), "allowed_ops": list(self.serving.allowed_ops)},
            "seed": seed,
        }

    def with_clients(self) -> "GateConfig":
        """Returns this gate with the section on clients, if need be with its defaults: they say what is shown of clients."""
        return self if self.clients is not None else replace(self, clients=ClientsGate())

    def check_against(self, train: TrainConfig, split: SplitConfig | None) -> None:
        """Refuses what the training or the split makes impossible to know, or to pass.

        Raises:
          ConfigError: nothing is held out to judge clients by, nothing is federated, the training is not private, or a limit
            is beyond what will be.
        """
        if not train.federated:
            self._check_centralised()
            return
        if split is not None:
            _check_clients(self.clients, split)
            _check_slices(self.slices, split)
        _check_participation(self.participation, train, split)
        if self.privacy is not None:
            _check_privacy(self.privacy, train)

    def _check_centralised(self) -> None:
        given = {
            "clients": self.clients,
            "baseline": self.baseline,
            "privacy": self.privacy,
            "participation": None if self.participation == ParticipationGate() else self.participation,
        }
        for name, section in given.items():
            if section is not None:
                raise ConfigError(
                    f"gate.{name}: does not go with train.mode 'centralised', where nothing is federated; leave it out"
                )


def default_change(kind: str) -> dict[str, ChangeBounds]:
    """Returns how much worse than the served model one of this kind may be where `gate.change` is not given."""
    metric = PRINCIPAL[kind]
    return {metric: ChangeBounds(min=-0.01) if HIGHER_IS_BETTER[metric] else ChangeBounds(max=0.05, relative=True)}


def _each(by_name: Mapping[str, Bounds]) -> dict[str, dict[str, Any]]:
    return {name: asdict(bounds) for name, bounds in by_name.items()}


def _slice(judged: SliceGate) -> dict[str, Any]:
    return {
        "features": list(judged.features),
        "thresholds": _each(judged.thresholds),
        "change": _each(judged.change),
        "min_examples": judged.min_examples,
    }


def _clients(clients: ClientsGate, principal: str) -> dict[str, Any]:
    dispersion = None if clients.dispersion is None else {"max": clients.dispersion.max}
    return {**asdict(clients), "metric": clients.metric or principal, "dispersion": dispersion}


def _baseline(baseline: BaselineGate, principal: str) -> dict[str, Any]:
    """An error has no upper end, so what a small difference of it is can only be said beside the baseline's."""
    metric = baseline.metric or principal
    default = (0.02, False) if HIGHER_IS_BETTER.get(metric, True) else (0.05, True)
    margin, relative = default if baseline.margin is None else (baseline.margin, bool(baseline.relative))
    return {**asdict(baseline), "metric": metric, "margin": margin, "relative": relative}


def _check_clients(clients: ClientsGate | None, split: SplitConfig) -> None:
    if clients is None:
        return
    if not (split.holdout or split.holdout_clients):
        raise ConfigError("gate.clients: nothing is held out to judge clients by; set split.holdout or split.holdout_clients")
    known = split.known_clients()
    if not split.holdout and isinstance(split.holdout_clients, int):
        known = "split.holdout_clients", split.holdout_clients
    if clients.bounded and known is not None and clients.min_clients > known[1]:
        raise wrong(
            "gate.clients.min_clients", f"at most {known[0]} ({known[1]}), or no client is ever judged", clients.min_clients
        )


def _check_slices(judged: tuple[SliceGate, ...], split: SplitConfig) -> None:
    for each in judged:
        if split.key is not None and split.key in each.features:
            raise ConfigError(
                f"gate.slices: expected features that do not name the client, got {split.key!r}, which is split.key; use"
                " gate.clients"
            )


def _check_participation(required: ParticipationGate, train: TrainConfig, split: SplitConfig | None) -> None:
    rounds, least = required.min_rounds, required.min_clients_per_round
    if rounds is not None and train.rounds is not None and rounds > train.rounds:
        raise wrong("gate.participation.min_rounds", f"at most train.rounds ({train.rounds})", rounds)
    known = split.known_clients() if split is not None else None
    if train.clients_per_round is not None:
        known = "train.clients_per_round", train.clients_per_round
    if least is not None and known is not None and least > known[1]:
        raise wrong("gate.participation.min_clients_per_round", f"at most {known[0]} ({known[1]})", least)


def _check_privacy(required: PrivacyGate, train: TrainConfig) -> None:
    if train.privacy is None:
        raise ConfigError("gate.privacy: needs train.privacy, without which the training has no epsilon")
    target, delta = train.privacy.target_epsilon, train.privacy.delta
    if target is not None and target > required.max_epsilon:
        raise wrong("gate.privacy.max_epsilon", f"at least train.privacy.target_epsilon ({target:g})", required.max_epsilon)
    if required.max_delta is not None and delta > required.max_delta:
        raise wrong("gate.privacy.max_delta", f"at least train.privacy.delta ({delta:g})", required.max_delta)
