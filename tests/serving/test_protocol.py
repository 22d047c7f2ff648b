"""The messages of our own are, on the wire, those of tensorflow-serving-api."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from serving import protocol

ROOT = Path(__file__).resolve().parents[2]
# Messages that are nested ones in the original, and the enum's name there.
_NESTED = {
    "tensorflow.TensorShapeDim": "tensorflow.TensorShapeProto.Dim",
    "tensorflow.serving.ModelVersionState": "tensorflow.serving.ModelVersionStatus.State",
    **{
        f"tensorflow.serving.{name}": f"tensorflow.serving.FileSystemStoragePathSourceConfig.{path}"
        for name, path in {
            "ServableVersionPolicy": "ServableVersionPolicy",
            "Latest": "ServableVersionPolicy.Latest",
            "All": "ServableVersionPolicy.All",
            "Specific": "ServableVersionPolicy.Specific",
        }.items()
    },
}


@pytest.fixture(scope="module")
def original_pool() -> Any:
    from google.protobuf import descriptor_pool
    from tensorflow_serving.apis import (  # noqa: F401
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_management_pb2,
        predict_pb2,
        regression_pb2,
    )

    return descriptor_pool.Default()


@pytest.mark.parametrize("name", protocol.MESSAGES)
def test_fields_have_the_originals_numbers_and_types(name: str, original_pool: Any) -> None:
    original = original_pool.FindMessageTypeByName(_NESTED.get(name, name))
    for field in protocol.message(name).DESCRIPTOR.fields:
        same = original.fields_by_name[field.name]
        assert (field.number, field.label) == (same.number, same.label)
        # An enum is a number on the wire.
        as_number = {FieldDescriptor.TYPE_ENUM: FieldDescriptor.TYPE_INT32}
        assert as_number.get(field.type, field.type) == as_number.get(same.type, same.type)
        assert bool(field.containing_oneof) == bool(same.containing_oneof)
        if field.message_type and not field.message_type.GetOptions().map_entry:
            assert _NESTED.get(field.message_type.full_name, field.message_type.full_name) == same.message_type.full_name


@pytest.mark.parametrize("name", protocol.ENUMS)
def test_enum_values_have_the_originals_numbers(name: str, original_pool: Any) -> None:
    original = original_pool.FindEnumTypeByName(_NESTED.get(name, name))
    for value in protocol.ENUMS[name].split():
        label, _, number = value.partition("=")
        assert original.values_by_name[label].number == int(number) == protocol.number_of(name, label)
        assert protocol.name_of(name, int(number)) == label


@pytest.mark.parametrize("method", protocol.METHODS)
def test_methods_take_and_give_what_the_original_services_do(method: str, original_pool: Any) -> None:
    from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2  # noqa: F401

    _, service, name = method.split("/")
    original = original_pool.FindServiceByName(service).methods_by_name[name]
    assert (original.input_type.name, original.output_type.name) == protocol.METHODS[method]


def test_a_predict_request_is_read_by_the_original_and_back() -> None:
    from tensorflow_serving.apis import predict_pb2

    request = protocol.message("tensorflow.serving.PredictRequest")()
    request.model_spec.name = "digits"
    request.model_spec.version.value = 7
    tensor = request.inputs["image"]
    tensor.dtype = protocol.number_of("tensorflow.DataType", "DT_STRING")
    tensor.tensor_shape.dim.add(size=1)
    tensor.string_val.append(b"png")
    read = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    assert read.model_spec.version.value == 7
    assert list(read.inputs["image"].string_val) == [b"png"]
    assert type(request).FromString(read.SerializeToString()) == request


def test_a_configuration_file_is_read_and_written_as_text() -> None:
    text = """
        model_config_list {
          config {
            name: "digits"
            version_labels { key: "stable" value: 3 }
            model_version_policy { specific { versions: 3 versions: 4 } }
          }
        }
    """
    config = text_format.Parse(text, protocol.message("tensorflow.serving.ModelServerConfig")())
    model = config.model_config_list.config[0]
    assert dict(model.version_labels) == {"stable": 3}
    assert list(model.model_version_policy.specific.versions) == [3, 4]
    assert text_format.Parse(text_format.MessageToString(config), type(config)()) == config


def test_importing_it_loads_no_tensorflow() -> None:
    code = "import sys; from serving import protocol; sys.exit(any(name.startswith('tensorflow') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
