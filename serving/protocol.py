"""TensorFlow Serving's messages and services without TensorFlow: what clients, the gateway and the configuration file need.

tensorflow-serving-api's own classes load all of TensorFlow. These are built here from the field numbers of its protos
(tensorflow_serving/apis, tensorflow_serving/config, tensorflow/core), in a pool of their own, so that both may be in one
process. A field that is not listed is kept as an unknown one. `tests/serving/test_protocol.py` holds every line to the
original.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_Field = descriptor_pb2.FieldDescriptorProto

ENUMS = {
    "tensorflow.DataType": (
        "DT_INVALID=0 DT_FLOAT=1 DT_DOUBLE=2 DT_INT32=3 DT_UINT8=4 DT_INT16=5 DT_INT8=6 DT_STRING=7 DT_COMPLEX64=8 DT_INT64=9"
        " DT_BOOL=10 DT_QINT8=11 DT_QUINT8=12 DT_QINT32=13 DT_BFLOAT16=14 DT_QINT16=15 DT_QUINT16=16 DT_UINT16=17"
        " DT_COMPLEX128=18 DT_HALF=19 DT_RESOURCE=20 DT_VARIANT=21 DT_UINT32=22 DT_UINT64=23"
    ),
    "tensorflow.serving.ModelVersionState": "UNKNOWN=0 START=10 LOADING=20 AVAILABLE=30 UNLOADING=40 END=50",
}
# Message -> its fields as `number name type`; `*` repeats, `map:` is keyed by strings, `|` puts a field into the one oneof.
MESSAGES = {
    "tensorflow.TensorShapeDim": "1 size int64, 2 name string",
    "tensorflow.TensorShapeProto": "2 dim *tensorflow.TensorShapeDim, 3 unknown_rank bool",
    "tensorflow.TensorProto": (
        "1 dtype tensorflow.DataType, 2 tensor_shape tensorflow.TensorShapeProto, 4 tensor_content bytes, 13 half_val *int32,"
        " 5 float_val *float, 6 double_val *double, 7 int_val *int32, 8 string_val *bytes, 10 int64_val *int64,"
        " 11 bool_val *bool, 16 uint32_val *uint32, 17 uint64_val *uint64"
    ),
    "tensorflow.TensorInfo": "1 name |string, 2 dtype tensorflow.DataType, 3 tensor_shape tensorflow.TensorShapeProto",
    "tensorflow.SignatureDef": (
        "1 inputs map:tensorflow.TensorInfo, 2 outputs map:tensorflow.TensorInfo, 3 method_name string,"
        " 4 defaults map:tensorflow.TensorProto"
    ),
    "tensorflow.BytesList": "1 value *bytes",
    "tensorflow.FloatList": "1 value *float",
    "tensorflow.Int64List": "1 value *int64",
    "tensorflow.Feature": (
        "1 bytes_list |tensorflow.BytesList, 2 float_list |tensorflow.FloatList, 3 int64_list |tensorflow.Int64List"
    ),
    "tensorflow.Features": "1 feature map:tensorflow.Feature",
    "tensorflow.Example": "1 features tensorflow.Features",
    "tensorflow.serving.ModelSpec": (
        "1 name string, 2 version |google.protobuf.Int64Value, 4 version_label |string, 3 signature_name string"
    ),
    "tensorflow.serving.PredictRequest": (
        "1 model_spec tensorflow.serving.ModelSpec, 2 inputs map:tensorflow.TensorProto, 3 output_filter *string"
    ),
    "tensorflow.serving.PredictResponse": "2 model_spec tensorflow.serving.ModelSpec, 1 outputs map:tensorflow.TensorProto",
    "tensorflow.serving.ExampleList": "1 examples *tensorflow.Example",
    "tensorflow.serving.ExampleListWithContext": "1 examples *tensorflow.Example, 2 context tensorflow.Example",
    "tensorflow.serving.Input": (
        "1 example_list |tensorflow.serving.ExampleList, 2 example_list_with_context |tensorflow.serving.ExampleListWithContext"
    ),
    "tensorflow.serving.Class": "1 label string, 2 score float",
    "tensorflow.serving.Classifications": "1 classes *tensorflow.serving.Class",
    "tensorflow.serving.ClassificationResult": "1 classifications *tensorflow.serving.Classifications",
    "tensorflow.serving.ClassificationRequest": "1 model_spec tensorflow.serving.ModelSpec, 2 input tensorflow.serving.Input",
    "tensorflow.serving.ClassificationResponse": (
        "2 model_spec tensorflow.serving.ModelSpec, 1 result tensorflow.serving.ClassificationResult"
    ),
    "tensorflow.serving.Regression": "1 value float",
    "tensorflow.serving.RegressionResult": "1 regressions *tensorflow.serving.Regression",
    "tensorflow.serving.RegressionRequest": "1 model_spec tensorflow.serving.ModelSpec, 2 input tensorflow.serving.Input",
    "tensorflow.serving.RegressionResponse": (
        "2 model_spec tensorflow.serving.ModelSpec, 1 result tensorflow.serving.RegressionResult"
    ),
    "tensorflow.serving.GetModelMetadataRequest": "1 model_spec tensorflow.serving.ModelSpec, 2 metadata_field *string",
    "tensorflow.serving.GetModelMetadataResponse": (
        "1 model_spec tensorflow.serving.ModelSpec, 2 metadata map:google.protobuf.Any"
    ),
    "tensorflow.serving.SignatureDefMap": "1 signature_def map:tensorflow.SignatureDef",
    "tensorflow.serving.StatusProto": "1 error_code int32, 2 error_message string",
    "tensorflow.serving.ModelVersionStatus": (
        "1 version int64, 2 state tensorflow.serving.ModelVersionState, 3 status tensorflow.serving.StatusProto"
    ),
    "tensorflow.serving.GetModelStatusRequest": "1 model_spec tensorflow.serving.ModelSpec",
    "tensorflow.serving.GetModelStatusResponse": "1 model_version_status *tensorflow.serving.ModelVersionStatus",
    "tensorflow.serving.Latest": "1 num_versions uint32",
    "tensorflow.serving.All": "",
    "tensorflow.serving.Specific": "1 versions *int64",
    "tensorflow.serving.ServableVersionPolicy": (
        "100 latest |tensorflow.serving.Latest, 101 all |tensorflow.serving.All, 102 specific |tensorflow.serving.Specific"
    ),
    "tensorflow.serving.SamplingConfig": "1 sampling_rate double, 2 attributes int32",
    "tensorflow.serving.LogCollectorConfig": "1 type string, 2 filename_prefix string",
    "tensorflow.serving.LoggingConfig": (
        "1 log_collector_config tensorflow.serving.LogCollectorConfig, 2 sampling_config tensorflow.serving.SamplingConfig"
    ),
    "tensorflow.serving.ModelConfig": (
        "1 name string, 2 base_path string, 3 model_type int32, 4 model_platform string,"
        " 7 model_version_policy tensorflow.serving.ServableVersionPolicy, 8 version_labels map:int64,"
        " 6 logging_config tensorflow.serving.LoggingConfig"
    ),
    "tensorflow.serving.ModelConfigList": "1 config *tensorflow.serving.ModelConfig",
    "tensorflow.serving.ModelServerConfig": (
        "1 model_config_list |tensorflow.serving.ModelConfigList, 2 custom_model_config |google.protobuf.Any"
    ),
    "tensorflow.serving.ReloadConfigRequest": "1 config tensorflow.serving.ModelServerConfig, 2 metric_names *string",
    "tensorflow.serving.Metric": "1 name string, 2 int64_value_increase |int64",
    "tensorflow.serving.ReloadConfigResponse": "1 status tensorflow.serving.StatusProto, 2 metric *tensorflow.serving.Metric",
}
# gRPC method -> (request, reply).
METHODS = {
    "/tensorflow.serving.PredictionService/Predict": ("PredictRequest", "PredictResponse"),
    "/tensorflow.serving.PredictionService/Classify": ("ClassificationRequest", "ClassificationResponse"),
    "/tensorflow.serving.PredictionService/Regress": ("RegressionRequest", "RegressionResponse"),
    "/tensorflow.serving.PredictionService/GetModelMetadata": ("GetModelMetadataRequest", "GetModelMetadataResponse"),
    "/tensorflow.serving.ModelService/GetModelStatus": ("GetModelStatusRequest", "GetModelStatusResponse"),
    "/tensorflow.serving.ModelService/HandleReloadConfigRequest": ("ReloadConfigRequest", "ReloadConfigResponse"),
}


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    for package in ("tensorflow", "tensorflow.serving"):
        pool.AddSerializedFile(_file(package).SerializeToString())
    return pool


def _file(package: str) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    file.dependency.extend([any_pb2.DESCRIPTOR.name, wrappers_pb2.DESCRIPTOR.name])
    if package != "tensorflow":
        file.dependency.append("tensorflow.proto")
    for full_name, values in ENUMS.items():
        if full_name.rpartition(".")[0] == package:
            enum = file.enum_type.add(name=full_name.rpartition(".")[2])
            for name, _, number in (value.partition("=") for value in values.split()):
                enum.value.add(name=name, number=int(number))
    for full_name, fields in MESSAGES.items():
        if full_name.rpartition(".")[0] == package:
            _add_message(file.message_type.add(name=full_name.rpartition(".")[2]), full_name, fields)
    return file


def _add_message(message: descriptor_pb2.DescriptorProto, full_name: str, fields: str) -> None:
    for number, name, kind in (field.split() for field in fields.split(", ") if field):
        field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
        if kind.startswith("map:"):
            entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
            entry.options.map_entry = True
            _set_type(entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL), "string")
            _set_type(entry.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL), kind[4:])
            kind = f"*{full_name}.{entry.name}"
        if kind.startswith("*"):
            field.label = _Field.LABEL_REPEATED
        if kind.startswith("|"):
            field.oneof_index = 0
            if not message.oneof_decl:
                message.oneof_decl.add(name="choice")
        _set_type(field, kind.lstrip("*|"))


def _set_type(field: descriptor_pb2.FieldDescriptorProto, kind: str) -> None:
    if "." not in kind:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")
        return
    field.type = _Field.TYPE_ENUM if kind in ENUMS else _Field.TYPE_MESSAGE
    field.type_name = f".{kind}"


_POOL = _pool()
_FACTORY = message_factory.MessageFactory(_POOL)


def message(full_name: str) -> Any:
    """Returns the class of a message in MESSAGES, such as `tensorflow.serving.PredictRequest`.

    Raises:
      KeyError: there is none of this name.
    """
    return _FACTORY.GetPrototype(_POOL.FindMessageTypeByName(full_name))


def number_of(enum: str, name: str) -> int:
    """Returns the number of an enum's value, as in `number_of("tensorflow.DataType", "DT_FLOAT")`."""
    return int(_POOL.FindEnumTypeByName(enum).values_by_name[name].number)


def name_of(enum: str, number: int) -> str:
    """Returns the name of an enum's value; the number itself in words if the enum has no such value."""
    value = _POOL.FindEnumTypeByName(enum).values_by_number.get(number)
    return value.name if value else str(number)
