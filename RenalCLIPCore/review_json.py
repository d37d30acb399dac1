"""The review's dataclasses as JSON data, back again, and as a JSON schema. Standard library only."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import types
import typing
from typing import Any

from .review_study import Absent

_UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))


class ReviewFormatError(ValueError):
    """A JSON text is no case review of a known version; the message names the place."""


def encode(value: Any) -> Any:
    """A value of the review as JSON-ready dicts, lists and scalars."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: encode(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return value


def decode(kind: Any, data: Any, place: str = "") -> Any:
    """Build a value of the annotated type ``kind`` from JSON data.

    Raises:
        ReviewFormatError: The data do not fit the type; the message names the JSON pointer.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in _UNIONS:
        is_absent = isinstance(data, dict) and set(data) == {"absent"}
        return decode(Absent if is_absent else next(k for k in arguments if k is not Absent), data, place)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(typing.cast(type, kind), data, place)
    if origin is tuple:
        return _decode_tuple(arguments, data, place)
    if origin is dict:
        _require(isinstance(data, dict), place, "an object", data)
        return {key: decode(arguments[1], item, f"{place}/{_token(key)}") for key, item in data.items()}
    if kind is float:
        return _decode_number(data, place)
    _require(isinstance(data, kind) and not (kind is int and isinstance(data, bool)), place, kind.__name__, data)
    return data


def _decode_dataclass(kind: type, data: Any, place: str) -> Any:
    _require(isinstance(data, dict), place, f"an object ({kind.__name__})", data)
    hints = _hints(kind)
    known = {item.name: item for item in dataclasses.fields(kind)}
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ReviewFormatError(f"{place or '/'}: unknown field {unknown[0]!r} in {kind.__name__}.")
    values = {}
    for name, item in known.items():
        if name in data:
            values[name] = decode(hints[name], data[name], f"{place}/{name}")
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ReviewFormatError(f"{place or '/'}: the field {name!r} of {kind.__name__} is missing.")
    return kind(**values)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields. Unions are put together here: Python 3.9 cannot evaluate ``A | B``."""
    names = vars(sys.modules[kind.__module__])
    return {
        item.name: typing.Union[tuple(eval(part, names) for part in str(item.type).split(" | "))]
        for item in dataclasses.fields(kind)
    }


def _decode_number(data: Any, place: str) -> float:
    _require(isinstance(data, (int, float)) and not isinstance(data, bool), place, "a number", data)
    try:
        value = float(data)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ReviewFormatError(f"{place or '/'}: a finite number was expected.")
    return value


def _token(key: str) -> str:
    """A key as a reference token of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _decode_tuple(arguments: tuple[Any, ...], data: Any, place: str) -> tuple[Any, ...]:
    _require(isinstance(data, list), place, "a list", data)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(decode(arguments[0], item, f"{place}/{i}") for i, item in enumerate(data))
    _require(len(data) == len(arguments), place, f"a list of {len(arguments)}", data)
    return tuple(decode(kind, data[i], f"{place}/{i}") for i, kind in enumerate(arguments))


def _require(condition: bool, place: str, wanted: str, found: Any) -> None:
    if not condition:
        raise ReviewFormatError(f"{place or '/'}: {wanted} was expected, found {type(found).__name__}.")


def schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an annotated type; dataclasses are put into ``definitions`` and referred to."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in _UNIONS:
        return {"anyOf": [schema(argument, definitions) for argument in arguments]}
    if dataclasses.is_dataclass(kind):
        name = typing.cast(type, kind).__name__
        if name not in definitions:
            definitions[name] = {}
            hints = _hints(typing.cast(type, kind))
            definitions[name] = {
                "type": "object",
                "description": (kind.__doc__ or "").strip().split("\n")[0],
                "properties": {item.name: schema(hints[item.name], definitions) for item in dataclasses.fields(kind)},
                "required": [
                    item.name
                    for item in dataclasses.fields(kind)
                    if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
                ],
                "additionalProperties": False,
            }
        return {"$ref": f"#/$defs/{name}"}
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": schema(arguments[0], definitions)}
    if origin is tuple:
        items = [schema(argument, definitions) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema(arguments[1], definitions)}
    return {"type": {str: "string", bool: "boolean", int: "integer", float: "number"}[kind]}
