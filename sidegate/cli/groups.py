"""Options that belong together: a verb takes them as one value, the command line as options each of its own."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields
from typing import TypeVar, get_type_hints

A = TypeVar("A")


class Group:
    """A dataclass of options: each field is annotated as a parameter of a verb would be, and has a default."""


def spread(function: Callable[..., Awaitable[A]]) -> Callable[..., Awaitable[A]]:
    """The function with the options of its groups in the place of the groups."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())
    groups = {each.name: each.annotation for each in own if _is_group(each.annotation)}
    if not groups:
        return function

    @functools.wraps(function)
    async def gathering(*positional: object, **options: object) -> A:
        gathered = {name: _gathered(group, options) for name, group in groups.items()}
        return await function(*positional, **options, **gathered)

    parameters = [option for each in own for option in _options(each, groups.get(each.name))]
    vars(gathering)["__signature__"] = inspect.Signature(parameters)
    return gathering


def _is_group(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Group)


def _gathered(group: type[Group], options: dict[str, object]) -> Group:
    return group(**{field.name: options.pop(field.name) for field in fields(group)})  # type: ignore[arg-type] # a dataclass


def _options(parameter: inspect.Parameter, group: type[Group] | None) -> Iterator[inspect.Parameter]:
    if group is None:
        yield parameter
        return
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):  # type: ignore[arg-type] # a dataclass
        kind = inspect.Parameter.KEYWORD_ONLY
        yield inspect.Parameter(field.name, kind, annotation=hints[field.name], default=field.default)
