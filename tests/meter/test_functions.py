"""Tool definitions are written as the TypeScript that was observed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.errors import InvalidRequest
from deltaweir.meter.functions import DEFINITIONS_TOKENS, Rendering, compact, literal

CL100K = tokenizer_of("cl100k_base")
HELLO_TOKENS = 8  # of a prompt that says hello, as the API reported it


def written(schema: Any) -> tuple[str, bool]:
    """Return how a property of a schema is written, and whether that is certain."""
    rendering = Rendering()
    parameters = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    text = rendering.namespace([{"name": "f", "parameters": parameters}], field="tools")
    return text.split("(_: {\n", 1)[1].removesuffix(
        "\n}) => any;\n\n} // namespace functions"
    ), rendering.certain


def recipe() -> dict[str, Any]:
    """Return the schema of a recipe with arrays of objects."""
    ingredient = {
        "type": "object",
        "required": ["name", "unit", "amount"],
        "properties": {
            "name": {"type": "string"},
            "unit": {"enum": ["grams", "ml", "cups", "pieces", "teaspoons"], "type": "string"},
            "amount": {"type": "number"},
        },
    }
    return {
        "type": "object",
        "required": ["ingredients", "instructions", "time_to_cook"],
        "properties": {
            "ingredients": {"type": "array", "items": ingredient},
            "instructions": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Steps to prepare the recipe (no numbering)",
            },
            "time_to_cook": {
                "type": "number",
                "description": "Total time to prepare the recipe in minutes",
            },
        },
    }


def flat(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object."""
    return {"type": "object", "properties": properties}


BING = {"name": "bing_bong", "description": "Do a bing bong"}
NESTED = flat(
    bar={"type": "string", "enum": ["a", "b", "c"]},
    baz={"type": "boolean"},
)


@pytest.mark.parametrize(
    ("function", "tokens"),
    [
        ({"name": "foo", "parameters": flat()}, 31),
        ({"name": "foo", "description": "Do a foo", "parameters": flat()}, 36),
        ({**BING, "parameters": flat(foo={"type": "string"})}, 49),
        (
            {
                **BING,
                "parameters": flat(
                    foo={"type": "string"}, bar={"type": "number", "description": "A number"}
                ),
            },
            57,
        ),
        ({**BING, "parameters": flat(foo=NESTED)}, 68),
        ({"name": "get_recipe", "parameters": recipe()}, 106),
    ],
)
def test_counts_of_the_api(function: dict[str, Any], tokens: int) -> None:
    """Definitions count what the API reported to openai-chat-tokens."""
    rendering = Rendering()
    text = rendering.namespace([function], field="functions")
    assert HELLO_TOKENS + CL100K.count(text) + DEFINITIONS_TOKENS == tokens
    assert rendering.certain


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer"}, "a: number,"),
        ({"type": "null"}, "a: null,"),
        ({"type": "array"}, "a: any[],"),
        ({"type": "integer", "enum": [1, 2]}, "a: 1 | 2,"),
        ({"type": "string", "description": "b"}, "// b\na: string,"),
        (flat(b={"type": "string"}), "a: {\n  b?: string,\n},"),
    ],
)
def test_observed_types(schema: Any, text: str) -> None:
    """Types that were compared with the API are certain."""
    assert written(schema) == (text, True)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "any"),
        (True, "any"),
        ({"const": None}, "null"),
        ({"const": "x"}, '"x"'),
        ({"$ref": "#/$defs/Node"}, "Node"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string | null"),
        ({"oneOf": [{"type": "string"}, False]}, "string | any"),
        ({"type": ["number", "null", 3]}, "number | null"),
        ({"type": "colour"}, "any"),
        ({"type": "array", "items": {"$ref": "#/Node"}}, "Node[]"),
    ],
)
def test_other_types_are_not_certain(schema: Any, text: str) -> None:
    """What was never compared is written in TypeScript's usual way, and said to be uncertain."""
    assert written(schema) == (f"a: {text},", False)


def test_free_form_tools_are_not_certain() -> None:
    """A custom tool takes a text; of a tool of another type only its name is known."""
    rendering = Rendering()
    custom = {"type": "custom", "custom": {"name": "f", "description": "d"}}
    assert "// d\ntype f = (_: string) => any;" in rendering.namespace([custom], field="tools")
    assert not rendering.certain
    assert "type g" in Rendering().namespace([{"type": "web", "name": "g"}], field="tools")


def test_values() -> None:
    """Texts are quoted as they are, other values are JSON."""
    assert literal('a"b', field="x") == '"a"b"'
    assert compact({"a": [1, None, "é"]}, field="x") == '{"a":[1,null,"é"]}'


def deep() -> dict[str, Any]:
    """Return a schema nested deeper than the interpreter goes."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(5000):
        schema = flat(a=schema)
    return schema


@pytest.mark.parametrize(
    "tool",
    [
        "secret",
        {"type": "function"},
        {"type": "function", "function": "secret"},
        {"name": 5},
        {"name": "f", "description": ["secret"]},
        {"name": "f", "parameters": "secret"},
        {"name": "f", "parameters": {"properties": ["secret"]}},
        {"name": "f", "parameters": flat(a="secret")},
        {"name": "f", "parameters": flat(a={"enum": [{1, 2}]})},
        {"name": "f", "parameters": deep()},
    ],
)
def test_malformed_tools(tool: Any) -> None:
    """A malformed definition is refused; the error names the field, not the text."""
    with pytest.raises(InvalidRequest, match=r"tools.*") as raised:
        Rendering().namespace([tool], field="tools")
    assert str(raised.value.param).startswith("tools")
    assert "secret" not in str(raised.value)


def test_a_value_that_holds_itself() -> None:
    """A value that holds itself is refused."""
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(InvalidRequest, match="x is no JSON value"):
        compact(ring, field="x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "enum", "anyOf", "required", "description", "const"]
            ),
            inner | st.sampled_from(["object", "array", "string"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(schema=JSON)
def test_any_schema(schema: Any) -> None:
    """Whatever a schema holds, it is written or refused."""
    try:
        text = Rendering().namespace([{"name": "f", "parameters": schema}], field="tools")
    except InvalidRequest as error:
        assert error.param  # noqa: PT017  either outcome is right
    else:
        assert text.startswith("namespace functions {")
