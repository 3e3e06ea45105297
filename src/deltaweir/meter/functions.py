"""How tool definitions stand in a prompt, and what they cost.

The rule is that of https://github.com/hmarr/openai-chat-tokens: the schemas become TypeScript
types of a namespace. Its author compared it with what the API reported for gpt-3.5-turbo. It
also gives the API's 105 and 101 tokens of the example in OpenAI's cookbook ("How to count tokens
with tiktoken", section 7), for gpt-4 and for gpt-4o. The cookbook's own function gives the same,
but it only knows flat properties that all have a description, so it is not used here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deltaweir.errors import InvalidRequest
from deltaweir.meter.rules import ESTIMATED, OBSERVED, Rule

DEFINITIONS_TOKENS = 9
"""What definitions cost besides their text."""

SHARED_SYSTEM_TOKENS = 4
"""What is saved when there is a system message, in which the definitions then stand."""

TOOLS = Rule("tools", OBSERVED, "https://github.com/hmarr/openai-chat-tokens, src/functions.ts")
SCHEMA = Rule(
    "tools_schema",
    ESTIMATED,
    "no rendering is known for unions, references, constants, free form tools; TypeScript's "
    "usual way to write them is assumed",
)

_PLAIN_TYPES = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "null": "null",
}


class Rendering:
    """Turns definitions into the text that stands in the prompt.

    Attributes:
        certain: Whether all that was rendered is covered by the observed rule.
    """

    def __init__(self) -> None:
        self.certain = True

    def namespace(self, tools: Sequence[Any], *, field: str) -> str:
        """Return the text of all definitions.

        Args:
            tools: Members of ``tools``, or of the older ``functions``.
            field: The request's field, for the message of an error.

        Raises:
            InvalidRequest: A definition has no name, has parts of the wrong type, or is nested
                too deeply.
        """
        lines = ["namespace functions {", ""]
        try:
            for at, tool in enumerate(tools):
                lines += self._tool(tool, field=f"{field}[{at}]")
        except RecursionError:
            raise InvalidRequest(f"{field} is nested too deeply", param=field) from None
        return "\n".join([*lines, "} // namespace functions"])

    def _tool(self, tool: Any, *, field: str) -> list[str]:
        tool = mapping(tool, field=field)
        kind = tool.get("type", "function")
        custom = kind == "custom"
        inner = tool.get("custom" if custom else "function", tool)
        definition = mapping(inner, field=field)
        name = text_of(definition.get("name"), field=f"{field}.name")
        lines = self._comment(definition, field=field)
        if custom or kind != "function":
            self.certain = False
            return [*lines, f"type {name} = (_: string) => any;", ""]
        parameters = mapping(definition.get("parameters") or {}, field=f"{field}.parameters")
        if not parameters.get("properties"):
            return [*lines, f"type {name} = () => any;", ""]
        properties = self._properties(parameters, 0, field=f"{field}.parameters")
        return [*lines, f"type {name} = (_: {{", properties, "}) => any;", ""]

    def _comment(self, holder: Mapping[str, Any], *, field: str) -> list[str]:
        description = holder.get("description")
        if not description:
            return []
        return [f"// {text_of(description, field=f'{field}.description')}"]

    def _properties(self, schema: Mapping[str, Any], indent: int, *, field: str) -> str:
        properties = mapping(schema.get("properties") or {}, field=f"{field}.properties")
        required = schema.get("required")
        needed = required if isinstance(required, list | tuple) else ()
        lines: list[str] = []
        for name, value in properties.items():
            inner = _schema(value, field=f"{field}.properties")
            lines += self._comment(inner, field=f"{field}.properties")
            mark = "" if name in needed else "?"
            lines.append(f"{name}{mark}: {self._type(inner, indent, field=field)},")
        # only a property's first line is indented, as was observed
        return "\n".join(" " * indent + line for line in lines)

    def _type(self, schema: Mapping[str, Any], indent: int, *, field: str) -> str:
        kind = schema.get("type")
        values = schema.get("enum")
        if isinstance(values, list) and values:
            return " | ".join(literal(value, field=field) for value in values)
        if kind == "object":
            return "\n".join(["{", self._properties(schema, indent + 2, field=field), "}"])
        if kind == "array":
            items = schema.get("items")
            if not items:
                return "any[]"
            return f"{self._type(_schema(items, field=f'{field}.items'), indent, field=field)}[]"
        if isinstance(kind, str) and kind in _PLAIN_TYPES:
            return _PLAIN_TYPES[kind]
        self.certain = False
        return self._union(schema, kind, indent, field=field)

    def _union(self, schema: Mapping[str, Any], kind: Any, indent: int, *, field: str) -> str:
        if "const" in schema:
            return literal(schema["const"], field=field)
        if isinstance(schema.get("$ref"), str):
            return str(schema["$ref"]).rpartition("/")[2]
        options = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(options, list) and options:
            members = [_schema(option, field=field) for option in options]
        elif isinstance(kind, list) and kind:
            members = [{**schema, "type": one} for one in kind if isinstance(one, str)]
        else:
            members = []
        return " | ".join(self._type(one, indent, field=field) for one in members) or "any"


def _schema(value: Any, *, field: str) -> Mapping[str, Any]:
    # JSON Schema allows true and false for a schema: anything, or nothing
    return {} if isinstance(value, bool) else mapping(value, field=field)


def literal(value: Any, *, field: str) -> str:
    """Return a value as TypeScript writes it; a text is quoted, not escaped.

    Raises:
        InvalidRequest: The value is not one that JSON knows, or is nested too deeply.
    """
    return f'"{value}"' if isinstance(value, str) else compact(value, field=field)


def compact(value: Any, *, field: str) -> str:
    """Return a value as JSON without blanks.

    Raises:
        InvalidRequest: The value is not one that JSON knows, or is nested too deeply.
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"{field} is no JSON value ({type(error).__name__}), expected plain data", param=field
        ) from None


def mapping(value: Any, *, field: str) -> Mapping[str, Any]:
    """Return a value that must be a mapping.

    Raises:
        InvalidRequest: It is not one.
    """
    if not isinstance(value, Mapping):
        raise InvalidRequest(
            f"{field} is of type {type(value).__name__}, expected a mapping", param=field
        )
    return value


def text_of(value: Any, *, field: str) -> str:
    """Return a value that must be a text.

    Raises:
        InvalidRequest: It is not one.
    """
    if not isinstance(value, str):
        raise InvalidRequest(
            f"{field} is of type {type(value).__name__}, expected a text", param=field
        )
    return value
