"""Tools: how they are asked for, and how a forced call is read as it arrives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import InvalidRequest, StreamFailed
from deltaweir.schema.request import chat_request
from deltaweir.sources.local.tools import ForcedCall, Tools, as_function_call, plan_tools
from deltaweir.types import Choice, Delta, FunctionDelta, ToolCallDelta

FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}
TOOL = {"type": "function", "function": FUNCTION}
OTHER = {"type": "function", "function": {"name": "g"}}


def planned(*, can: bool = True, **fields: Any) -> Tools | None:
    """Plan the tools of a request."""
    request = chat_request({"messages": [{"role": "user", "content": "x"}], **fields})
    return plan_tools(request, can_use_tools=can, model="m")


def schema_of(tools: Tools | None) -> dict[str, Any]:
    """Return the schema that a forced call is held to."""
    assert tools is not None
    assert tools.forced
    schema: dict[str, Any] = tools.body["response_format"]["json_schema"]["schema"]
    return schema


def test_without_tools_there_is_no_plan() -> None:
    """Also where the choice says none or auto."""
    assert planned() is None
    assert planned(tools=[], tool_choice="auto") is None
    assert planned(tool_choice="none", can=False) is None


@pytest.mark.parametrize("choice", ["auto", "none", None])
def test_a_free_choice_is_left_to_the_engine(choice: str | None) -> None:
    """Tools and choice are passed on."""
    tools = planned(tools=[TOOL], tool_choice=choice)
    assert tools == Tools(
        {"tools": [TOOL], "tool_choice": choice or "auto"}, forced=False, legacy=False
    )


def test_a_required_call_is_forced_by_a_schema_of_all_tools() -> None:
    """The model may write nothing but a name with arguments of that tool's own schema."""
    schema = schema_of(planned(tools=[TOOL, OTHER], tool_choice="required"))
    names = [one["properties"]["name"]["const"] for one in schema["anyOf"]]
    assert names == ["f", "g"]
    assert schema["anyOf"][0]["properties"]["arguments"] == FUNCTION["parameters"]
    assert schema["anyOf"][1]["properties"]["arguments"] == {"type": "object"}
    assert schema["anyOf"][0]["required"] == ["name", "arguments"]


def test_a_named_tool_is_the_only_one_allowed() -> None:
    """The engine itself does not understand such a choice."""
    choice = {"type": "function", "function": {"name": "g"}}
    schema = schema_of(planned(tools=[TOOL, OTHER], tool_choice=choice))
    assert [one["properties"]["name"]["const"] for one in schema["anyOf"]] == ["g"]


def test_older_functions_become_tools() -> None:
    """Their answer has room for one call."""
    tools = planned(functions=[FUNCTION])
    assert tools is not None
    assert tools.legacy
    assert tools.body == {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False}
    forced = planned(functions=[FUNCTION], function_call={"name": "f"})
    assert forced is not None
    assert forced.forced
    assert forced.legacy


def test_definitions_are_lifted_to_where_references_look_for_them() -> None:
    """``#/$defs/D`` of a tool's schema is still true in the schema of the call."""
    definitions = {"D": {"type": "integer"}}
    parameters = {"properties": {"a": {"$ref": "#/$defs/D"}}, "$defs": definitions}
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    schema = schema_of(planned(tools=[tool, tool], tool_choice="required"))
    assert schema["$defs"] == definitions
    assert "$defs" not in schema["anyOf"][0]["properties"]["arguments"]


def tool_with(parameters: Any) -> dict[str, Any]:
    """Return a tool with these parameters."""
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"tool_choice": "required"}, "tool_choice", "needs tools"),
    ({"tools": [{"type": "custom"}]}, "tools", r"tools\[0\] is not a function"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools", r"tools\[0\] has no name"),
    ({"functions": [{"name": 5}]}, "functions", r"functions\[0\] has no name"),
    ({"tools": [tool_with([1])]}, "tools", "not the JSON schema of an object"),
    ({"tools": [tool_with({"type": "string"})]}, "tools", "not the JSON schema of an object"),
    ({"tools": [tool_with({"properties": {"a": {"minimum": 10**18}}})]}, "tools", "minimum of 16"),
    ({"tools": [TOOL], "tool_choice": "f"}, "tool_choice", "one of: f"),
    ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice", "one of: f"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        "tool_choice",
        "names no known function",
    ),
    ({"functions": [FUNCTION], "function_call": {"name": "g"}}, "function_call", "one of: f"),
    (
        {"tools": [TOOL], "tool_choice": "required", "response_format": {"type": "json_object"}},
        "response_format",
        "expected one of them",
    ),
    (
        {
            "tools": [
                tool_with({"$defs": {"D": {}}}),
                tool_with({"$defs": {"D": {"type": "null"}}}),
            ],
            "tool_choice": "required",
        },
        "tools",
        r"define \$defs.D differently",
    ),
    (
        {"tools": [tool_with({"$defs": [1]})], "tool_choice": "required"},
        "tools",
        "that are no mapping",
    ),
]


@pytest.mark.parametrize(("fields", "param", "words"), REFUSED)
def test_tools_that_cannot_be_used_are_refused(
    fields: dict[str, Any], param: str, words: str
) -> None:
    """The error names the field and the tool."""
    with pytest.raises(InvalidRequest, match=words) as caught:
        planned(**fields)
    assert caught.value.param == param


def test_a_model_without_tools_refuses_them() -> None:
    """Rather than babble; the error says what to do."""
    with pytest.raises(InvalidRequest, match="not trained to use tools; leave functions out"):
        planned(functions=[FUNCTION], can=False)


def read(pieces: list[str]) -> tuple[str, str, int]:
    """Feed a forced call in pieces; return name, arguments, and how often a name came."""
    call = ForcedCall("id")
    said = [piece for text in pieces for piece in call.feed(text)]
    functions = [piece.function for piece in said if piece.function is not None]
    names = [function.name for function in functions if function.name is not None]
    arguments = "".join(function.arguments or "" for function in functions)
    assert all(piece.index == 0 for piece in said)
    assert [piece.id for piece in said if piece.id] == ["id"] * len(names)
    return "".join(names), arguments, len(names)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from('{}[]"\\'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(
    name=st.text(min_size=1, max_size=8),
    arguments=st.dictionaries(st.text(max_size=4), VALUES, max_size=4),
    form=st.sampled_from([{}, {"indent": 1}, {"ensure_ascii": False}]),
    after=st.text("} \n", max_size=3),
    data=st.data(),
)
def test_a_forced_call_is_read_the_same_however_it_is_cut(
    name: str, arguments: dict[str, Any], form: dict[str, Any], after: str, data: Any
) -> None:
    """The pieces join to the arguments as they were written, and nothing follows them."""
    call = {"name": name, "arguments": arguments}
    written = json.dumps(call, **form) + after
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=6)))
    pieces = [
        written[start:end] for start, end in zip([0, *cuts], [*cuts, len(written)], strict=True)
    ]
    said, joined, names = read(pieces)
    assert (said, names) == (name, 1)
    assert json.loads(joined) == arguments
    assert joined == read([*written])[1] == read([written])[1]
    assert joined[0] + joined[-1] == "{}"


def test_the_name_goes_out_before_the_arguments_are_known() -> None:
    """A reader can show which tool is called while its arguments are still written."""
    call = ForcedCall("id")
    assert call.feed('{"name": "f", "argum') == []
    (head,) = call.feed('ents":')
    assert head.function == FunctionDelta(name="f", arguments="")
    assert call.feed(" ") == []
    (piece,) = call.feed(' {"a')
    assert piece == ToolCallDelta(index=0, function=FunctionDelta(arguments='{"a'))


def test_a_name_that_is_no_text_fails() -> None:
    """The grammar never lets the model write one."""
    with pytest.raises(StreamFailed, match="no text"):
        ForcedCall("id").feed(r'{"name": "\q", "arguments": {}}')


def test_a_tool_call_is_reworded_for_requests_with_functions() -> None:
    """Its pieces, its role and its finish reason."""
    call = ToolCallDelta(index=0, id="i", function=FunctionDelta(name="f", arguments=""))
    choice = as_function_call(Choice(delta=Delta(role="assistant", tool_calls=[call])))
    assert choice is not None
    assert choice.delta == Delta(
        role="assistant", function_call=FunctionDelta(name="f", arguments="")
    )
    ended = as_function_call(Choice(finish_reason="tool_calls"))
    assert ended is not None
    assert ended.finish_reason == "function_call"


def test_a_second_call_is_dropped_where_there_is_room_for_one() -> None:
    """Its arguments must not run on into those of the first."""
    call = ToolCallDelta(index=1, function=FunctionDelta(arguments="{}"))
    assert as_function_call(Choice(delta=Delta(tool_calls=[call]))) is None


def test_a_choice_without_calls_stays_as_it_is() -> None:
    """Text and other finish reasons are the same in both forms."""
    choice = Choice(delta=Delta(content="x"), finish_reason="stop")
    assert as_function_call(choice) is choice
    assert choice == Choice(delta=Delta(content="x"), finish_reason="stop")
