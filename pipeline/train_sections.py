"""The sections inside `train`: who takes part, how updates are combined, privacy, evaluation, checkpoints, schedules.

A key that the chosen variant does not use is None, and giving it is an error.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from components.federated_trainer.aggregators import RULES, clients_needed
from errors import ConfigError
from pipeline.strict_yaml import REQUIRED, Section, flag, number, one_of, optional, text, whole, wrong

SAMPLINGS = ("fixed", "poisson", "full", "ordered")
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {},
    "exponential": {"decay_rounds": REQUIRED, "decay_rate": REQUIRED},
    "step": {"decay_rounds": REQUIRED, "decay_rate": REQUIRED},
    "cosine": {"decay_rounds": REQUIRED, "floor": 0.0},
    "linear": {"decay_rounds": REQUIRED, "floor": 0.0},
}
"""Kind of schedule -> the keys it uses -> their defaults."""

_TOLD_BYZANTINE = ("trimmed_mean", "krum", "multi_krum")  # rules that must know how many to stand
_quantile = optional(number(above=0, below=1))
# The ledger's file is named after it.
_file_name = text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "up to 100 letters, digits and any of . _ -, a letter or digit first")


def _clip(key: str, value: Any) -> float | str:
    if value == "adaptive":
        return "adaptive"
    try:
        return number(above=0)(key, value)
    except ConfigError:
        raise wrong(key, "a finite number above 0, or adaptive", value) from None


@dataclass(frozen=True)
class ScheduleConfig(Section):
    """The factor on a learning rate in each round: first the warm-up, then 1 falling as `kind` says."""

    kind: Annotated[str, one_of(*SCHEDULES)] = "constant"
    warmup_rounds: Annotated[int, whole(0)] = 0
    """Rounds over which the factor rises linearly to 1."""
    decay_rounds: Annotated[int | None, optional(whole(1))] = None
    decay_rate: Annotated[float | None, optional(number(above=0, most=1))] = None
    """The factor after `decay_rounds` rounds, again and again: smoothly, or by steps."""
    floor: Annotated[float | None, optional(number(least=0, below=1))] = None
    """Where cosine and linear end."""

    def validate(self) -> None:
        self._keep_used("kind", SCHEDULES)


class ClientSchedule(ScheduleConfig):
    """The schedule of the clients' learning rate."""

    SECTION: ClassVar[str] = "train.client_schedule"


class ServerSchedule(ScheduleConfig):
    """The schedule of the server's learning rate."""

    SECTION: ClassVar[str] = "train.server_schedule"


@dataclass(frozen=True)
class ParticipationConfig(Section):
    """Which clients are drawn for a round, and which of them report."""

    SECTION: ClassVar[str] = "train.participation"
    sampling: Annotated[str, one_of(*SAMPLINGS)] = "fixed"
    drop_out: Annotated[float, number(least=0, below=1)] = 0.0
    """Probability that a drawn client never reports."""
    stragglers: Annotated[float, number(least=0, most=1)] = 0.0
    """Probability that a drawn client is slow."""
    straggler_work: Annotated[str, one_of("partial", "none")] = "partial"
    """What a slow client reports: some of its epochs, or nothing in time."""
    quorum: Annotated[int, whole(1)] = 1
    """Fewest reports with which a round counts."""
    retries: Annotated[int, whole(0)] = 3
    """How often a round without quorum is drawn anew before the run stops."""

    def validate(self) -> None:
        if self.stragglers == 1 and self.straggler_work == "none":
            raise ConfigError("train.participation.stragglers: expected below 1 with straggler_work 'none', got 1")


@dataclass(frozen=True)
class AggregationConfig(Section):
    """How the clients' updates become one."""

    SECTION: ClassVar[str] = "train.aggregation"
    rule: Annotated[str, one_of("mean", *RULES, "simulated_secure_mean")] = "mean"
    byzantine: Annotated[int | None, optional(whole(0))] = None
    """How many clients of a round may be hostile."""
    clip: Annotated[float | str | None, optional(_clip)] = None
    """Largest norm of an update; adaptive: follows `clip_quantile` of the norms."""
    clip_quantile: Annotated[float | None, _quantile] = None
    zeroing: Annotated[bool, flag()] = False
    """Whether updates far larger than the others' are left out."""
    compression: Annotated[str, one_of("none", "8bit")] = "none"

    def validate(self) -> None:
        needed = self.rule in _TOLD_BYZANTINE
        if needed and self.byzantine is None:
            raise ConfigError(f"train.aggregation.byzantine: required by rule {self.rule!r}")
        self._used_with(f"rule {', '.join(_TOLD_BYZANTINE)}", needed, byzantine=None)
        if self.rule == "simulated_secure_mean" and self.clip is None:
            raise ConfigError("train.aggregation.clip: required by rule 'simulated_secure_mean', whose numbers have a range")
        self._used_with("clip adaptive", self.clip == "adaptive", clip_quantile=0.8)

    def least_updates(self) -> int:
        """Returns how many reports a round needs for the rule to hold."""
        return clients_needed(self.rule, self.byzantine or 0)

    def beyond_mean(self) -> str | None:
        """Returns a key that makes this more than a plain mean, or None."""
        plain = {"rule": "mean", "clip": None, "zeroing": False, "compression": "none"}
        return next((key for key, value in plain.items() if getattr(self, key) != value), None)


@dataclass(frozen=True)
class PrivacyConfig(Section):
    """Differential privacy of whole clients."""

    SECTION: ClassVar[str] = "train.privacy"
    clip: Annotated[float | str, _clip]
    """Largest norm of an update; adaptive: follows `clip_quantile` of the norms, itself with noise."""
    delta: Annotated[float, number(above=0, below=1)]
    mechanism: Annotated[str, one_of("gaussian", "tree")] = "gaussian"
    clip_quantile: Annotated[float | None, _quantile] = None
    noise_multiplier: Annotated[float | None, optional(number(least=0))] = None
    """Standard deviation of the noise on the sum of updates, over the clip."""
    target_epsilon: Annotated[float | None, optional(number(above=0))] = None
    """The epsilon of all rounds, for which the noise multiplier is found."""
    noise: Annotated[str, one_of("secret", "seeded")] = "secret"
    """From the operating system's randomness, or from the config's seed, which whoever reads the metadata knows."""
    budget: Annotated[float | None, optional(number(above=0))] = None
    """The epsilon that all releases on the same population together must not exceed."""
    population: Annotated[str | None, optional(_file_name)] = None
    """Names the clients whose releases add up; None: the pipeline's name."""

    def validate(self) -> None:
        self._used_with("clip adaptive", self.clip == "adaptive", clip_quantile=0.5)
        if (self.noise_multiplier is None) == (self.target_epsilon is None):
            raise ConfigError("train.privacy: needs exactly one of noise_multiplier and target_epsilon")
        if self.mechanism == "tree" and self.target_epsilon is not None:
            raise ConfigError("train.privacy.target_epsilon: not used by mechanism 'tree', only by gaussian")
        if self.budget is None:
            return
        if self.target_epsilon is not None and self.target_epsilon > self.budget:
            raise wrong("train.privacy.target_epsilon", f"at most train.privacy.budget ({self.budget:g})", self.target_epsilon)
        if self.noise_multiplier == 0:
            raise wrong("train.privacy.noise_multiplier", "above 0 where there is a budget", self.noise_multiplier)


@dataclass(frozen=True)
class EvaluationConfig(Section):
    """Evaluation of the global model during the training, on what FederatedSplit held out."""

    SECTION: ClassVar[str] = "train.evaluation"
    every: Annotated[int, whole(0)] = 0
    """Rounds from one evaluation to the next; 0: none."""
    metric: Annotated[str | None, optional(text())] = None
    """`loss`, or the name of one of the module's metrics: what is better is decided by it."""
    patience: Annotated[int | None, optional(whole(1))] = None
    """Evaluations without getting better after which the training stops; None: never."""
    min_delta: Annotated[float | None, optional(number(least=0))] = None
    """By how much it has to get better to count."""

    def validate(self) -> None:
        self._used_with("every above 0", self.every > 0, metric="loss", patience=None, min_delta=0.0)


@dataclass(frozen=True)
class CheckpointConfig(Section):
    """What a training that was killed goes on from."""

    SECTION: ClassVar[str] = "train.checkpoint"
    every: Annotated[int, whole(1)] = 10
    """Rounds from one checkpoint to the next."""
    keep: Annotated[int, whole(1)] = 2
