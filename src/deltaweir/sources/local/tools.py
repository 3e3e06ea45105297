"""Tools for the embedded model: who must be called, and how the call is read as it comes.

Left to itself the engine lets a small model talk for ever where a call is required, and it
does not understand a choice of one tool by name. So a required call is forced: the model may
write nothing but ``{"name": ..., "arguments": {...}}`` by the tools' own schemas, and the
reader turns that text into the pieces of a tool call while it arrives. Pure.
"""

from __future__ import annotations

import enum
import json
import re
from typing import Any, NamedTuple

from deltaweir.errors import InvalidRequest, StreamFailed
from deltaweir.schema.chunk import Choice, Delta, FunctionDelta, ToolCallDelta
from deltaweir.schema.request import ChatRequest
from deltaweir.sources.local.schemas import check_schema

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:')

_DEFINITIONS = ("$defs", "definitions")


class Tools(NamedTuple):
    """How one request's tools are asked for and read."""

    body: dict[str, Any]
    """The fields that the engine is sent."""
    forced: bool
    """Whether the model's whole text is one call."""
    legacy: bool
    """Whether the request used ``functions``, and so is answered with ``function_call``."""


def plan_tools(request: ChatRequest, *, can_use_tools: bool, model: str) -> Tools | None:
    """Return how to ask for the request's tools, None when it has none.

    Args:
        request: The request.
        can_use_tools: Whether the model's chat template knows tools.
        model: The model's name, for the error.

    Raises:
        InvalidRequest: The tools are malformed, or the model cannot use any.
    """
    legacy = not request.tools and bool(request.functions)
    if legacy:
        tools = [{"type": "function", "function": one} for one in request.functions or ()]
        choice: Any = request.function_call
        where = "functions"
    else:
        tools, choice, where = request.tools or [], request.tool_choice, "tools"
    choice_name = "function_call" if legacy else "tool_choice"
    if not tools:
        if choice not in (None, "none", "auto"):
            raise InvalidRequest(f"{choice_name} needs {where}", param=choice_name)
        return None
    if not can_use_tools:
        raise InvalidRequest(
            f"{model} was not trained to use tools; leave {where} out, or use another model",
            param=where,
        )
    functions = [_function(where, at, tool) for at, tool in enumerate(tools)]
    check_schema(functions, param=where)
    wanted = _chosen(choice_name, choice, functions)
    if wanted is None:
        body: dict[str, Any] = {"tools": tools, "tool_choice": choice or "auto"}
        if legacy:  # its answer has room for one call
            body["parallel_tool_calls"] = False
        elif request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
        return Tools(body, forced=False, legacy=legacy)
    if request.response_format not in (None, {"type": "text"}):
        raise InvalidRequest(
            f"{choice_name} asks for a call and response_format for another form; "
            "expected one of them",
            param="response_format",
        )
    return Tools(_forced(tools, wanted), forced=True, legacy=legacy)


def _forced(tools: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the fields that let the model write one call of these functions and no more."""
    schema = {"anyOf": [_call_schema(function) for function in wanted], **_shared(wanted)}
    wanted_format = {"type": "json_schema", "json_schema": {"name": "call", "schema": schema}}
    return {"tools": tools, "tool_choice": "none", "response_format": wanted_format}


def _function(where: str, at: int, tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict):
        raise InvalidRequest(f"{where}[{at}] is not a function, expected one", param=where)
    if not isinstance(function.get("name"), str) or not function["name"]:
        raise InvalidRequest(f"{where}[{at}] has no name", param=where)
    parameters = function.get("parameters") or {}
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise InvalidRequest(
            f"{where}[{at}] has parameters that are not the JSON schema of an object", param=where
        )
    return function


def _chosen(name: str, choice: Any, functions: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the functions of which one must be called; None when the model is free."""
    if choice in (None, "auto", "none"):
        return None
    if choice == "required":
        return functions
    inner = choice.get("function", choice) if isinstance(choice, dict) else None
    wanted = inner.get("name") if isinstance(inner, dict) else None
    found = [function for function in functions if function["name"] == wanted]
    if wanted is None or not found:
        known = ", ".join(function["name"] for function in functions)
        raise InvalidRequest(
            f"{name} names no known function, expected auto, none, required or one of: {known}",
            param=name,
        )
    return found


def _call_schema(function: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", **(function.get("parameters") or {})}
    parameters = {key: value for key, value in parameters.items() if key not in _DEFINITIONS}
    return {
        "type": "object",
        "properties": {"name": {"const": function["name"]}, "arguments": parameters},
        "required": ["name", "arguments"],
    }


def _shared(functions: list[dict[str, Any]]) -> dict[str, Any]:
    """Lift the schemas' definitions to the root, where their references look for them."""
    lifted: dict[str, dict[str, Any]] = {}
    for function in functions:
        for key in _DEFINITIONS:
            defined = (function.get("parameters") or {}).get(key) or {}
            if not isinstance(defined, dict):
                raise InvalidRequest(
                    f"a tool has {key} that are no mapping, expected schemas by name",
                    param="tools",
                )
            for name, schema in defined.items():
                if lifted.setdefault(key, {}).setdefault(name, schema) != schema:
                    raise InvalidRequest(
                        f"two tools define {key}.{name} differently; expected one definition",
                        param="tools",
                    )
    return lifted


class _Where(enum.Enum):
    HEAD = "head"
    ARGUMENTS = "arguments"
    AFTER = "after"


class ForcedCall:
    """Turn the text of a forced call into the pieces of a tool call, as it arrives.

    The name goes out as soon as it is known, the arguments as they come, and the closing
    brace of the wrapper never.

    Args:
        call_id: The id the call is given.
    """

    def __init__(self, call_id: str) -> None:
        self._id = call_id
        self._head = ""
        self._where = _Where.HEAD
        self._depth = 0
        self._in_text = False
        self._escaped = False

    def feed(self, text: str) -> list[ToolCallDelta]:
        """Take more of the model's text and return what it adds to the call."""
        if self._where is _Where.HEAD:
            self._head += text
            found = _HEAD.match(self._head)
            if found is None:
                return []
            self._where = _Where.ARGUMENTS
            head = ToolCallDelta(
                index=0,
                id=self._id,
                type="function",
                function=FunctionDelta(name=_name(found[1]), arguments=""),
            )
            return [head, *self.feed(self._head[found.end() :])]
        if self._depth == 0:  # between the colon and the arguments
            text = text.lstrip()
        arguments = text[: self._scan(text)] if self._where is _Where.ARGUMENTS else ""
        if not arguments:
            return []
        return [ToolCallDelta(index=0, function=FunctionDelta(arguments=arguments))]

    def _scan(self, text: str) -> int:
        """Return how many characters still belong to the arguments."""
        for at, character in enumerate(text):
            if self._in_text:
                if self._escaped:
                    self._escaped = False
                elif character == "\\":
                    self._escaped = True
                elif character == '"':
                    self._in_text = False
            elif character == '"':
                self._in_text = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self._where = _Where.AFTER
                    return at + 1
        return len(text)


def _name(written: str) -> str:
    try:
        return str(json.loads(written))
    except ValueError as error:
        raise StreamFailed("the engine wrote a tool call whose name is no text") from error


def as_function_call(choice: Choice) -> Choice | None:
    """Reword tool calls as the older ``function_call``, for requests with ``functions``.

    It has room for one call: pieces of others are dropped, and None is returned where
    nothing else is left.
    """
    calls = choice.delta.tool_calls
    if calls:
        first = next((call.function for call in calls if not call.index), None)
        if first is None:
            return None
        choice.delta = Delta(role=choice.delta.role, function_call=first)
    if choice.finish_reason == "tool_calls":
        choice.finish_reason = "function_call"
    return choice
