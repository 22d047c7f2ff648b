"""The sections of a report: facts, as `facts.collect` gives them, to blocks."""
