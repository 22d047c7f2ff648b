"""Where the file names come from that a SavedModel's operations read: from the loader alone, or from elsewhere.

A lookup table may be filled from an asset of the model and a variable restored from the model's checkpoint. Both take the name
as a tensor. It is followed from the operation to the function's argument, to every place that gives the argument a value, and
in the main graph to the tensor into which the loader feeds the name. A name that goes another way counts as foreign.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_FILE_INPUT = {"InitializeTableFromTextFile": 1, "InitializeTableFromTextFileV2": 1, "RestoreV2": 0}
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


class FileNames:
    """File names in one tensorflow.MetaGraphDef."""

    def __init__(self, meta_graph: Any) -> None:
        self._main = {node.name: node for node in meta_graph.graph_def.node}
        self._functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
        self._objects = meta_graph.object_graph_def
        self._assets = {_tensor(asset.tensor_info.name) for asset in meta_graph.asset_file_def}
        self._checkpoint = {_tensor(meta_graph.saver_def.filename_tensor_name)}
        infos = (info for signature in meta_graph.signature_def.values() for info in signature.inputs.values())
        self._asked = {_node(info.name) for info in infos}  # a request decides what these are

    def is_asset(self, function: str, node: Any) -> bool:
        """Whether `node` of a library function reads one of the model's assets, whoever calls the function."""
        argument = self._argument(function, node)
        return argument is not None and self._always_given(function, argument, self._assets)

    def is_checkpoint(self, function: str, node: Any) -> bool:
        """Whether `node` of a library function reads the checkpoint that the loader names."""
        argument = self._argument(function, node)
        return argument is not None and self._always_given(function, argument, self._checkpoint)

    def _argument(self, function: str, node: Any) -> int | None:
        """The position of the function's argument that is the node's file name; None if it is not an argument."""
        body = {inner.name: inner for inner in self._functions[function].node_def}
        arguments = [argument.name for argument in self._functions[function].signature.input_arg]
        at = _FILE_INPUT[node.op]
        tensor = _input(node, at)
        for _ in range(len(body)):
            if tensor in arguments or (inner := body.get(_node(tensor))) is None or inner.op != "Identity":
                break
            tensor = _input(inner, 0)
        return arguments.index(tensor) if tensor in arguments else None

    def _always_given(self, function: str, argument: int, wanted: set[str]) -> bool:
        """Whether the function is called, and nowhere with another value for the argument."""
        if any(_mentions(node, function) for other in self._functions.values() for node in other.node_def):
            return False
        calls = [node for node in self._main.values() if _mentions(node, function)]
        return (
            bool(calls)
            and all(_is_call(node, function) and self._is_from(_input(node, argument), wanted) for node in calls)
            and self._bound_in_python(function, argument)
        )

    def _is_from(self, tensor: str, wanted: set[str]) -> bool:
        """Whether a tensor of the main graph is one of `wanted`, possibly by way of a variable that holds nothing else."""
        if _node(tensor) in self._asked:
            return False
        if _tensor(tensor) in wanted:
            return True
        node = self._main.get(_node(tensor))
        if node is None or node.op != "ReadVariableOp":
            return False
        return self._holds_only(_node(_input(node, 0)), wanted)

    def _holds_only(self, variable: str, wanted: set[str]) -> bool:
        handle = self._main.get(variable)
        if handle is None or handle.op != "VarHandleOp" or variable in self._asked or self._has_alias(handle):
            return False
        users = [node for node in self._main.values() if variable in {_node(tensor) for tensor in node.input}]
        if any(node.op not in ("AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp") for node in users):
            return False
        values = [_input(node, 1) for node in users if node.op == "AssignVariableOp"]
        return bool(values) and all(_tensor(value) in wanted and _node(value) not in self._asked for value in values)

    def _has_alias(self, handle: Any) -> bool:
        nodes = [*self._main.values(), *(node for function in self._functions.values() for node in function.node_def)]
        handles = [node for node in nodes if node.op == "VarHandleOp"]
        return sum(_shared_name(node) == _shared_name(handle) for node in handles) > 1

    def _bound_in_python(self, function: str, argument: int) -> bool:
        """Whether, loaded into Python, the argument is bound to an asset: what is bound comes last among the arguments."""
        if function not in self._objects.concrete_functions:
            return True
        bound = self._objects.concrete_functions[function].bound_inputs
        at = argument - (len(self._functions[function].signature.input_arg) - len(bound))
        if not 0 <= at < len(bound) or not 0 <= bound[at] < len(self._objects.nodes):
            return False
        return bool(self._objects.nodes[bound[at]].HasField("asset"))


def _input(node: Any, at: int) -> str:
    return str(node.input[at]) if len(node.input) > at else ""


def _mentions(node: Any, function: str) -> bool:
    return node.op == function or any(name == function for value in node.attr.values() for name in _names(value))


def _names(value: Any) -> Iterator[str]:
    for function in [value.func, *value.list.func]:
        yield function.name
        for inner in function.attr.values():
            yield from _names(inner)


def _is_call(node: Any, function: str) -> bool:
    return node.op in _CALLS and node.attr["f"].func.name == function


def _shared_name(node: Any) -> str:
    return (node.attr["shared_name"].s.decode(errors="replace") if "shared_name" in node.attr else "") or node.name


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _tensor(name: str) -> str:
    """`name` and `name:0` are the same tensor."""
    return name if ":" in name else f"{name}:0"
