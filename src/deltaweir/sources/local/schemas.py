"""JSON schemas that the engine cannot take: it never ends, or shouts at stderr. Pure.

The engine turns a schema into a grammar. Whole numbers of more than fifteen digits as bounds
send it into an endless loop that nothing can interrupt, and long repetitions make it print
the whole grammar.
"""

from __future__ import annotations

from typing import Any

from deltaweir.errors import InvalidRequest

_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_BEYOND_BOUNDS = 10**15
_LEAST = frozenset({"minItems", "minLength"})
_MOST_REPETITIONS = 1000


def check_schema(schema: Any, *, param: str) -> None:
    """Refuse a schema that would hang the engine.

    Args:
        schema: The schema, or anything that has schemas in it.
        param: The request's field that it stands in.

    Raises:
        InvalidRequest: Names the keyword and the limit.
    """
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            for key, value in part.items():
                if isinstance(value, int | float):
                    _check_number(key, value, param=param)
                else:
                    waiting.append(value)


def _check_number(key: str, value: float, *, param: str) -> None:
    if key in _BOUNDS and abs(value) >= _BEYOND_BOUNDS:
        raise InvalidRequest(
            f"got a schema with {key} of 16 digits or more, which the embedded model's engine "
            "cannot hold to; leave it out",
            param=param,
        )
    if key in _LEAST and value > _MOST_REPETITIONS:
        raise InvalidRequest(
            f"got a schema with {key} above {_MOST_REPETITIONS}, which the embedded model's "
            "engine cannot hold to",
            param=param,
        )
