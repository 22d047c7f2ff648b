"""Which operations of a SavedModel are off the allow-list, from its bytes alone: nothing is imported into TensorFlow.

Every node of the main graph and of every library function counts, called or not. The saver's operations read and write files
whose names they are given, so they are allowed only in the functions that the saver alone can reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from components.serving_check.allow_list import AllowList
from components.serving_check.file_names import FileNames

_Nodes = list[Any]


def refused_ops(meta_graph: Any, allowed: AllowList) -> set[str]:
    """Returns the operations of a tensorflow.MetaGraphDef that `allowed` does not let pass where they are."""
    functions = {function.signature.name: list(function.node_def) for function in meta_graph.graph_def.library.function}
    saver = _Saver(meta_graph, functions)
    files = FileNames(meta_graph)
    refused = {node.op for node in meta_graph.graph_def.node if node.op not in allowed.anywhere}
    for name, nodes in functions.items():
        for node in nodes:
            if node.op in allowed.anywhere:
                continue
            kept = (
                (node.op in allowed.save and name in saver.saving)
                or (node.op in allowed.restore and name in saver.restoring and files.is_checkpoint(name, node))
                or (node.op in allowed.asset and files.is_asset(name, node))
            )
            refused |= set() if kept else {node.op}
    return refused


class _Saver:
    """The functions that only saving (`saving`) or only restoring (`restoring`) can reach."""

    def __init__(self, meta_graph: Any, functions: Mapping[str, _Nodes]) -> None:
        nodes = {node.name: node for node in meta_graph.graph_def.node}
        save, restore = (
            _node_of(tensor) for tensor in (meta_graph.saver_def.save_tensor_name, meta_graph.saver_def.restore_op_name)
        )
        answering = _ancestors(_fetched(meta_graph), nodes)  # of what a request or loading can run
        elsewhere = [node for name, node in nodes.items() if name in answering or name not in (save, restore)]
        # Grappler may put one function in another's place if both claim to implement the same interface.
        replaceable = {f.signature.name for f in meta_graph.graph_def.library.function if "api_implements" in f.attr}
        running = _closure(_called(elsewhere) | _revived(meta_graph) | replaceable, functions)
        saving = _closure(_called(nodes[name] for name in {save} & nodes.keys()), functions)
        restoring = _closure(_called(nodes[name] for name in {restore} & nodes.keys()), functions)
        self.saving = saving - running - restoring
        self.restoring = restoring - running - saving


def _fetched(meta_graph: Any) -> set[str]:
    """Nodes of the main graph that signatures answer with, the initialisation among them, and what collections name."""
    tensors = {info.name for signature in meta_graph.signature_def.values() for info in _infos(signature.outputs.values())}
    for collection in meta_graph.collection_def.values():
        tensors |= set(collection.node_list.value)
    return {_node_of(tensor) for tensor in tensors}


def _infos(outputs: Iterable[Any]) -> Iterable[Any]:
    """A signature's output is a tensor, or a sparse or composite one of several."""
    for info in outputs:
        yield info
        yield from info.composite_tensor.components
        for part in ("values_tensor_name", "indices_tensor_name", "dense_shape_tensor_name"):
            if getattr(info.coo_sparse, part):
                yield type(info)(name=getattr(info.coo_sparse, part))


def _ancestors(names: Iterable[str], nodes: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found and name in nodes:
            found.add(name)
            waiting += [_node_of(tensor) for tensor in nodes[name].input]
    return found


def _node_of(tensor: str) -> str:
    """The node of `name`, `name:0` or `^name`."""
    return tensor.removeprefix("^").partition(":")[0]


def _revived(meta_graph: Any) -> set[str]:
    """Functions that loading into Python calls or hands out."""
    objects = meta_graph.object_graph_def
    names = set(objects.concrete_functions)
    for node in objects.nodes:
        names |= set(node.function.concrete_functions) | {node.bare_concrete_function.concrete_function_name}
    return names


def _closure(names: Iterable[str], functions: Mapping[str, _Nodes]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in functions and name not in found:
            found.add(name)
            waiting += _called(functions[name])
    return found


def _called(nodes: Iterable[Any]) -> set[str]:
    """Names that may be functions called by nodes: in any attribute at any depth, or as the operation itself."""
    found: set[str] = set()
    waiting: list[Any] = []
    for node in nodes:
        found.add(node.op)
        waiting += node.attr.values()
    while waiting:
        value = waiting.pop()
        for function in [value.func, *value.list.func]:
            found.add(function.name)
            waiting += function.attr.values()
    return found
