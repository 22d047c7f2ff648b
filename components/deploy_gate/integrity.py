"""Is this run whole, is the model what was published, are the findings about it, and what is served?"""

from __future__ import annotations

import os

from components.deploy_gate import wording
from components.deploy_gate.case import Case
from components.deploy_gate.observed import Observed
from components.deploy_gate.requirements import Requirement

_INFRA_BLESSED, _INFRA_NOT_BLESSED = "INFRA_BLESSED", "INFRA_NOT_BLESSED"


def run(requirement: Requirement, case: Case) -> Observed:
    """Whether a node of this run failed: TFX may go on after one, with what depends on it missing."""
    return Observed(not case.failed_nodes, f"{case.failed_nodes} failed" if case.failed_nodes else "none failed")


def model(requirement: Requirement, case: Case) -> Observed:
    """Whether the model's bytes are those that the node that made it recorded."""
    expected = case.model.get_string_custom_property("digest")
    if case.model_digest is None:
        return Observed(False, "they cannot be read")
    if not expected:
        return Observed(False, f"{case.model_node} recorded no digest of them")
    if expected != case.model_digest:
        return Observed(False, f"altered after {case.model_node} published them")
    return Observed(True, "those that were published")


def approvals(requirement: Requirement, case: Case) -> Observed:
    """Whether the file of approvals can be read: a hold may be in it."""
    return Observed(not case.approvals_problem, case.approvals_problem or "nothing wrong")


def evidence(requirement: Requirement, case: Case) -> Observed:
    """Whether a judge's finding counts."""
    problem = case.problem(requirement.judge)
    return Observed(problem is None, problem or f"unaltered, about model {case.model.id}")


def first_deploy(requirement: Requirement, case: Case) -> Observed:
    """Whether something is served, or need not be."""
    if case.live is None:
        return Observed(requirement.limit["setting"] == "allow", "none yet")
    gone = "" if case.live.digest else ", whose files cannot be read"
    return Observed(True, f"version {case.live.version}{', this very model' if case.live.same_as_model else ''}{gone}")


def infra(requirement: Requirement, case: Case) -> Observed:
    """The stock InfraValidator's verdict, written down twice; it names no model, so the wiring alone says which one."""
    blessing = case.infra_blessing
    if blessing is None:
        return Observed(False, "there is no blessing of the InfraValidator")
    blessed = blessing.get_int_custom_property("blessed") == 1
    files = [name for name in (_INFRA_BLESSED, _INFRA_NOT_BLESSED) if os.path.exists(os.path.join(blessing.uri, name))]
    if files != [_INFRA_BLESSED if blessed else _INFRA_NOT_BLESSED]:
        return Observed(False, f"ML Metadata says blessed={int(blessed)}, the files {wording.one_line(files or 'nothing')}")
    return Observed(blessed, "blessed" if blessed else "not blessed")
