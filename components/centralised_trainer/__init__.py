"""TFX's Trainer, whose models carry a digest."""

from components.centralised_trainer.component import CentralisedTrainer

__all__ = ["CentralisedTrainer"]
