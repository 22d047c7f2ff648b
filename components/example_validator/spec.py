"""Keys and ComponentSpec of StoppingExampleValidator."""

from __future__ import annotations

from tfx.types.component_spec import ExecutionParameter
from tfx.types.standard_component_specs import ExampleValidatorSpec

MODULE_KEY = "module"
MODULE_DIGEST_KEY = "module_digest"
CODE_VERSION_KEY = "code_version"


class StoppingExampleValidatorSpec(ExampleValidatorSpec):
    """ExampleValidator's; the further parameters are described in component.py."""

    PARAMETERS = {
        **ExampleValidatorSpec.PARAMETERS,
        MODULE_KEY: ExecutionParameter(type=str),
        MODULE_DIGEST_KEY: ExecutionParameter(type=str),
        CODE_VERSION_KEY: ExecutionParameter(type=str),
    }
