"""The graph as data, for programs: field names and words are those of the graph."""

from dataclasses import fields, is_dataclass

from sidegate.topology.graph import Graph

Document = dict[str, "Document"] | list["Document"] | str | int | float | bool | None


def of(graph: Graph) -> Document:
    return _of(graph)


def _of(value: object) -> Document:
    match value:
        case tuple():
            return [_of(each) for each in value]
        case bool() | int() | float() | None:
            return value
        case _ if is_dataclass(value):
            return {each.name: _of(getattr(value, each.name)) for each in fields(value)}
        case _:
            return str(value)
