"""Schemas that would hang the engine are refused, all others pass."""

from __future__ import annotations

from typing import Any

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.sources.local.schemas import check_schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 10**15},
        {"type": "integer", "maximum": -(10**18)},
        {"properties": {"a": {"anyOf": [{"exclusiveMinimum": 1e30}]}}},
        [{"$defs": {"D": {"exclusiveMaximum": 10**16}}}],
        {"type": "array", "minItems": 1001},
        {"type": "string", "minLength": 10**9},
    ],
)
def test_a_schema_that_would_hang_the_engine_is_refused(schema: Any) -> None:
    """Wherever in it the number stands."""
    with pytest.raises(InvalidRequest, match="got a schema with") as caught:
        check_schema(schema, param="tools")
    assert caught.value.param == "tools"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 10**15 - 1, "maximum": -(10**15) + 1},
        {"type": "array", "minItems": 1000, "maxItems": 10**9},
        {"properties": {"minimum": {"type": "integer"}, "minItems": True}},
        {"const": 10**20, "enum": [10**20]},
        True,
        None,
    ],
)
def test_other_schemas_pass(schema: Any) -> None:
    """Names of properties are no keywords, and constants no bounds."""
    check_schema(schema, param="tools")
