import json
import subprocess
import sys
from pathlib import Path

import pytest
from tfx.types import channel_utils, standard_artifacts

import components
from components import FederatedExamples, FederatedSplit
from components.federated_split import component
from errors import DataError
from lineage.digests import code_digest

ROOT = Path(__file__).parents[3]
DIRICHLET = {"clients": 20, "alpha": 0.5, "min_examples": 1, "label": "label"}


def make(**changes) -> FederatedSplit:
    examples = channel_utils.as_channel([standard_artifacts.Examples()])
    return FederatedSplit(**{"examples": examples, "strategy": "dirichlet", "parameters": DIRICHLET, "seed": 42, **changes})


def test_component_carries_its_parameters_and_the_version_of_its_code() -> None:
    properties = make().exec_properties
    assert properties["strategy"] == "dirichlet"
    assert properties["seed"] == 42
    assert DIRICHLET.items() <= json.loads(properties["parameters"]).items()
    assert len(properties["code_version"]) == 16
    assert make().outputs["federated_examples"].type is FederatedExamples


def test_code_version_follows_what_decides_the_bytes_and_not_who_reads_them() -> None:
    covered = {Path(path).relative_to(ROOT).as_posix() for path in component._sources()}
    assert {"lineage/digests.py", "components/artifacts.py"} < covered
    package = ROOT / "components" / "federated_split"
    rest = {path.relative_to(ROOT).as_posix() for path in package.rglob("*.py")} - covered
    assert rest == {"components/federated_split/reader.py", "components/federated_split/datasets.py"}
    assert make().exec_properties["code_version"] == code_digest(*(ROOT / path for path in covered))


def test_order_of_parameters_does_not_change_the_cache_key() -> None:
    assert make(parameters=dict(reversed(DIRICHLET.items()))).exec_properties == make().exec_properties


def test_wrong_parameters_are_refused_before_anything_runs() -> None:
    with pytest.raises(DataError, match="alpha"):
        make(parameters={**DIRICHLET, "alpha": -1})


def test_artifact_type_has_the_name_it_is_imported_by() -> None:
    assert FederatedExamples.TYPE_NAME == "components.FederatedExamples"
    assert getattr(components, FederatedExamples.TYPE_NAME.split(".")[1]) is FederatedExamples


def test_all_lists_what_the_package_offers() -> None:
    assert all(hasattr(components, name) for name in components.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = components.Nonsense


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = "import sys, components; print({'tensorflow', 'tensorflow_federated', 'apache_beam', 'tfx'} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "set()\n"
    )
