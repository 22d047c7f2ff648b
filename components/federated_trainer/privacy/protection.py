"""Where a training's randomness comes from, and with differential privacy what it costs: key, noise, ledger, epsilon."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from components.federated_trainer.checkpoints import kept, secret, writing
from components.federated_trainer.clients.population import Population
from components.federated_trainer.combining import Combiner, PrivateCombiner
from components.federated_trainer.privacy import accounting as privacy
from components.federated_trainer.privacy import mechanisms
from components.federated_trainer.privacy.ledger import Ledger

if TYPE_CHECKING:
    from components.federated_trainer.rounds import Job

Shapes = Sequence[tuple[int, ...]]
PRIVACY_FILE = "privacy.json"


class Protection(Protocol):
    """What the loop asks of either kind of training."""

    sampling_key: bytes
    repeats: bool
    """Whether a round with too few reports is drawn again, and not released."""

    def combiner(self, rules: Mapping[str, Any], shapes: Shapes) -> Any:
        """Returns the server's half of aggregation."""

    def open(self, say: Callable[[str], None]) -> None:
        """Is called before the first round, when nothing else can go wrong any more; may refuse the training."""

    def after(self, attempts: int) -> dict[str, float]:
        """Returns what the round's record says of privacy after so many attempts."""

    def settle(self, attempts: int) -> None:
        """Is told that the training stopped after so many attempts; it may go on later."""

    def close(self, attempts: int, run_dir: str) -> dict[str, Any]:
        """Ends the training after so many attempts, writes to the records of the run, and returns facts of the model."""


class Unprotected:
    """No privacy: everything comes from the config's seed."""

    repeats = True

    def __init__(self, seed: int) -> None:
        self.sampling_key = _seeded(seed)

    def combiner(self, rules: Mapping[str, Any], shapes: Shapes) -> Combiner:
        """Returns the rule of the `aggregation` section."""
        return Combiner(rules, shapes)

    def open(self, say: Callable[[str], None]) -> None:
        """Allows every training."""

    def after(self, attempts: int) -> dict[str, float]:
        """Returns nothing."""
        return {}

    def settle(self, attempts: int) -> None:
        """Keeps no books."""

    def close(self, attempts: int, run_dir: str) -> dict[str, Any]:
        """Returns nothing."""
        return {}


class Private:
    """Differential privacy of whole clients, on the ledger before the first round.

    Every round is released, however few report: to repeat one would tell how many did, without noise.

    key: decides the cohorts and the noise, and names the release in the ledger.
    """

    repeats = False

    def __init__(self, release: privacy.Release, settings: Mapping[str, Any], ledger: Ledger, key: bytes) -> None:
        self._release, self._settings, self._ledger = release, settings, ledger
        self._id = hashlib.blake2b(b"release", key=key, digest_size=16).hexdigest()
        self.sampling_key = hashlib.blake2b(b"sampling", key=key).digest()
        self._noise_key = hashlib.blake2b(b"noise", key=key).digest()
        self._series = privacy.series(release, settings["delta"])

    def open(self, say: Callable[[str], None]) -> None:
        """Reserves the rounds that are planned, and says what the training will cost, and what that does not cover.

        Raises:
          TrainingError: the budget would be exceeded; nothing has been reserved.
          IntegrityError: the ledger has been altered.
        """
        total = self._ledger.reserve(self._id, self._release, self._settings["delta"], self._settings["budget"])
        planned = privacy.guarantee([self._release], self._settings["delta"])
        say(f"this training: {planned}; with all before it on these clients: {total}. {privacy.NOT_COVERED}")
        for line in self._cautions(planned):
            say(line)

    def combiner(self, rules: Mapping[str, Any], shapes: Shapes) -> PrivateCombiner:
        """Returns the mechanism with its noise key."""
        z = self._release.noise_multiplier
        mechanism = mechanisms.mechanism(self._settings, self._release.clients_per_round, shapes, z)
        return PrivateCombiner(mechanism, self._noise_key, shapes)

    def after(self, attempts: int) -> dict[str, float]:
        """Returns epsilon so far, by RDP, which is cheap to follow."""
        return {"epsilon_rdp": self._series[attempts - 1]}

    def settle(self, attempts: int) -> None:
        """Tells the ledger what was really attempted; `open` takes the reservation up again."""
        self._ledger.spend(self._id, attempts)

    def close(self, attempts: int, run_dir: str) -> dict[str, Any]:
        """Settles the ledger and writes PRIVACY_FILE; the total is of this training and all earlier ones."""
        self.settle(attempts)
        done = replace(self._release, rounds=attempts)
        own, total = privacy.guarantee([done], self._settings["delta"]), self._ledger.total(self._settings["delta"])
        facts = {
            "epsilon": own.epsilon,
            "epsilon_rdp": own.rdp,
            "epsilon_total": total.epsilon,
            "delta": self._settings["delta"],
            "privacy_unit": own.unit,
            "noise_multiplier": done.noise_multiplier,
            "noise": self._settings["noise"],
            "privacy_ledger_digest": self._ledger.head(),
        }
        told = {"guarantee": str(own), "of_all_trainings": str(total), "not_covered": privacy.NOT_COVERED}
        content = {**told, "cautions": self._cautions(own), **facts, "release": asdict(done), "settings": dict(self._settings)}
        with writing("records", run_dir):
            Path(run_dir, PRIVACY_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return facts

    def _cautions(self, found: privacy.Guarantee) -> list[str]:
        seeded = [privacy.SEEDED_NOISE] if self._settings["noise"] == "seeded" else []
        return [*seeded, *privacy.cautions(self._release, found)]


def prepare(job: Job, population: Population, folder: Path, computation: str, say: Callable[[str], None]) -> Protection:
    """Returns the protection that the settings ask for; nothing is reserved yet.

    Args:
      job: whose `privacy` section counts.
      population: the clients that cohorts are drawn from.
      folder: of the checkpoints, where a secret key, and the noise found for a target, are kept until the training is done.
      computation: digest of all that decides what is released. Seeded noise depends on it: two trainings with the same noise
        would tell the difference between their sums, without any noise.
      say: is told what may take long.

    Raises:
      ConfigError: a privacy that would be worth nothing.
    """
    settings = job.settings["privacy"]
    if settings is None:
        return Unprotected(job.seed)
    release = _release(job.settings, len(population))
    if settings["target_epsilon"] is not None:
        release = replace(release, noise_multiplier=_found(release, settings, folder, say))
    privacy.check(release, settings["delta"])
    ledger = Ledger(os.path.join(job.state_dir, "privacy", f"{settings['population']}.jsonl"))
    key = secret(folder) if settings["noise"] == "secret" else _seeded(job.seed, computation)
    return Private(release, settings, ledger, key)


def _found(release: privacy.Release, settings: Mapping[str, Any], folder: Path, say: Callable[[str], None]) -> float:
    """The noise multiplier for the target; a training that goes on takes the one it began with."""

    def search() -> bytes:
        say(f"finding the noise for epsilon {settings['target_epsilon']:g}")
        return repr(privacy.calibrate(release, settings["target_epsilon"], settings["delta"])).encode()

    return float(kept(folder, "noise_multiplier", search))


def _release(settings: Mapping[str, Any], population: int) -> privacy.Release:
    return privacy.Release(
        mechanism=settings["privacy"]["mechanism"],
        sampling=settings["participation"]["sampling"],
        noise_multiplier=settings["privacy"]["noise_multiplier"] or 0.0,
        clients_per_round=settings["clients_per_round"] or population,
        population=population,
        rounds=settings["rounds"],
        adaptive_clip=settings["privacy"]["clip"] == "adaptive",
    )


def _seeded(seed: int, what: str = "") -> bytes:
    return hashlib.blake2b(seed.to_bytes(8, "big") + what.encode()).digest()
