"""Whether what a model came from is still what was published: every digest on the way, recomputed."""

from lineage.verify.checking import verify
from lineage.verify.report import ALTERED, DELETED, MISSING, UNPROVEN, VERIFIED, Finding, Report

__all__ = ["ALTERED", "DELETED", "MISSING", "UNPROVEN", "VERIFIED", "Finding", "Report", "verify"]
