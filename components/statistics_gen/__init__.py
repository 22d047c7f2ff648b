"""The stock StatisticsGen, whose statistics carry a digest."""

from components.statistics_gen.component import DigestedStatisticsGen

__all__ = ["DigestedStatisticsGen"]
