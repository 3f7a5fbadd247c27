"""
Values of the installed SDK's request types: what a type allows, one choice after the other.

A request type is walked once. At each field, each alternative is put into a request that is as small as its type allows, so
one request differs from the smallest one in one place.
"""

import os
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

import typing_extensions as te

_NOT_JSON = (IO, os.PathLike)
_COLLECTIONS = ("Iterable", "Sequence", "SequenceNotStr", "List", "list")


@dataclass(frozen=True)
class Field:
    """
    A field of a request type: what it may hold, and whether it must be there.
    """

    name: str
    type: Any
    required: bool


def fields(kind: Any) -> dict[str, Field]:
    """
    The fields of a typed dictionary.
    """
    found = {}
    for name, hint in te.get_type_hints(kind, include_extras=True).items():
        origins: tuple[object, ...] = (te.get_origin(hint), typing.get_origin(hint))
        required = te.Required in origins or typing.Required in origins
        found[name] = Field(name, _bare(hint), required or name in _required_by_itself(kind))
    return found


def _required_by_itself(kind: Any) -> frozenset[str]:
    """
    Of types that are written as a call, `TypedDict("X", {...})`: for names that are no names in Python.
    """
    return frozenset(kind.__required_keys__)


def _bare(hint: Any) -> Any:
    """
    A type without `Required` and `Annotated` around it.
    """
    while te.get_origin(hint) in (te.Required, te.NotRequired, te.Annotated, typing.Required, typing.NotRequired):
        hint = te.get_args(hint)[0]
    return hint


def alternatives(hint: Any) -> tuple[Any, ...]:
    """
    The types of a union, or the one type.
    """
    hint = _bare(hint)
    if _is_union(hint):
        found = [one for arm in te.get_args(hint) for one in alternatives(arm)]
        return tuple(one for one in found if _origin(one) not in _NOT_JSON)
    return (hint,)


def _is_union(hint: Any) -> bool:
    return te.get_origin(hint) is typing.Union or type(hint).__name__ == "UnionType"


def _origin(hint: Any) -> Any:
    return te.get_origin(hint) or hint


def is_list(hint: Any) -> bool:
    """
    Whether a type is a list of others.
    """
    origin = _origin(hint)
    return getattr(origin, "__name__", str(origin)).rpartition(".")[2] in _COLLECTIONS


def values(hint: Any, seen: set[Any] | None = None) -> Iterator[Any]:
    """
    Each value that stands for an alternative of a type; a typed dictionary is walked at its first place only.
    """
    seen = set() if seen is None else seen
    for one in alternatives(hint):
        yield from _values(one, seen)


def _values(hint: Any, seen: set[Any]) -> Iterator[Any]:
    if te.is_typeddict(hint):
        smallest = least(hint)
        yield smallest
        if hint not in seen:
            seen.add(hint)
            for field in fields(hint).values():
                yield from ({**smallest, field.name: value} for value in values(field.type, seen))
    elif te.get_origin(hint) in (Literal, te.Literal):
        yield from te.get_args(hint)
    elif is_list(hint):
        yield []
        yield from ([value] for value in values(te.get_args(hint)[0], seen))
    elif _origin(hint) is dict:
        yield {}
        yield from ({"key": value} for value in values(te.get_args(hint)[1], seen))
    else:
        yield _simple(hint)


def _simple(hint: Any) -> Any:
    found = {str: "x", int: 1024, float: 0.5, bool: True, type(None): None, object: {}}
    assert hint in found, f"a type that is not known here: {hint!r}"
    return found[hint]


def least(kind: Any) -> dict[str, Any]:
    """
    The smallest value of a typed dictionary.
    """
    return {field.name: _first(field.type) for field in fields(kind).values() if field.required}


def _first(hint: Any) -> Any:
    first = alternatives(hint)[0]
    if te.is_typeddict(first):
        return least(first)
    if is_list(first):
        inner = te.get_args(first)[0]
        return [_first(inner)]
    return next(_values(first, set()))


def json_kinds(hint: Any) -> set[type]:
    """
    What a value of a type may be in JSON.
    """
    kinds: set[type] = set()
    for one in alternatives(hint):
        if te.is_typeddict(one) or _origin(one) is dict or one is object:
            kinds.add(dict)
        elif is_list(one):
            kinds.add(list)
        elif te.get_origin(one) in (Literal, te.Literal):
            kinds |= {type(value) for value in te.get_args(one)}
        else:
            kinds.add(one)
    return kinds
