"""The stock InfraValidator, whose blessing carries a digest."""

from components.infra_validator.component import DigestedInfraValidator

__all__ = ["DigestedInfraValidator"]
