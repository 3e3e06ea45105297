"""The prompt that an embedded model's own chat template makes of messages, and its tokens.

Rendered as the engine renders it (llama.cpp's ``common/chat.cpp``), each point compared with
the engine's own count:

- A message is what the engine keeps of it: role, content, reasoning, name, call id and calls.
  A content that is missing or null is an empty text; ``developer`` becomes ``system``.
- A tool is its name, description and parameters; what is missing of them is empty.
- Arguments of calls are an object where the template writes them as one, else a text.
- A first system message goes into the next message where the template knows no system role.
- ``tool_choice`` and ``response_format`` bind what is generated and are not in the prompt.

Not reproduced: the rewordings that llama.cpp has for single model families (such as gpt-oss,
Mistral and DeepSeek), and templates that read content as lists of parts only.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from typing import Any, NoReturn

from deltaweir.errors import EngineMissing, InvalidRequest
from deltaweir.models.vocabulary import vocabulary_of
from deltaweir.models.weights import Weights

_STEPS = 16_000_000
"""Turns, calls and made characters of one rendering: 16 MB are more than any context holds."""

_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content"
    " + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""What the engine takes for a model without a template."""

_PROBE = "deltaweir probe"


def count_chat(
    weights: Weights,
    messages: list[dict[str, Any]],
    *,
    tools: list[dict[str, Any]] | None = None,
    tool_choice: Any = None,  # noqa: ARG001  see the module: never part of the prompt
    response_format: Any = None,  # noqa: ARG001  as tool_choice
) -> int:
    """Return the tokens of the whole prompt of a chat request, as the engine's usage has them.

    Args:
        weights: The model.
        messages: The request's messages, as OpenAI has them.
        tools: The request's tools; older ``functions`` must have been wrapped as tools.
        tool_choice: Taken so that a request can be passed whole; it changes nothing.
        response_format: As ``tool_choice``.

    Raises:
        EngineMissing: The package ``jinja2`` or ``tokenizers`` is not installed.
        InvalidRequest: The template refuses the messages, or is none that can be rendered; or
            the model's tokenizer is of a kind that is not known here.
        ModelCorrupt: The vocabulary is damaged.
        ModelUnavailable: There is no such file any more, or it may not be read.
    """
    vocabulary = vocabulary_of(weights)
    prompt = rendered(
        weights.head.chat_template or _CHATML,
        messages,
        tools=tools,
        bos=vocabulary.bos,
        eos=vocabulary.eos,
    )
    if vocabulary.adds_bos:
        prompt = prompt.removeprefix(vocabulary.bos)
    if vocabulary.adds_eos:
        prompt = prompt.removesuffix(vocabulary.eos)
    return vocabulary.count_rendered(prompt)


def rendered(
    template: str,
    messages: list[dict[str, Any]],
    *,
    tools: list[dict[str, Any]] | None = None,
    bos: str = "",
    eos: str = "",
) -> str:
    """Return the prompt that a chat template makes of messages, up to where the model answers.

    Args:
        template: The template in Jinja's language; it need not be trusted.
        messages: The messages, as OpenAI has them.
        tools: The tools, as OpenAI has them.
        bos: The text of the begin-of-text token.
        eos: The text of the end-of-text token.

    Raises:
        EngineMissing: The package ``jinja2`` is not installed.
        InvalidRequest: The template refuses the messages, fails on them, runs or grows
            without bound, or is no template.
    """
    plain = [_message(message) for message in messages]
    if "<|channel|>" not in template:
        for message in plain:
            if message["role"] == "developer":
                message["role"] = "system"
    if plain and plain[0]["role"] == "system" and not _knows_system(template):
        plain = _without_system(plain)
    if any("tool_calls" in message for message in plain) and _writes_objects(template):
        for message in plain:
            _parse_arguments(message)
    values: dict[str, Any] = {"messages": plain, "bos_token": bos, "eos_token": eos}
    if tools:
        values["tools"] = [_tool(tool) for tool in tools]
    return _render(template, values)


def _render(template: str, values: dict[str, Any]) -> str:
    try:
        from deltaweir.models import sandbox  # of an extra: jinja2 is loaded where it is used
    except ImportError as error:
        raise EngineMissing(
            "rendering a chat template needs the package jinja2, which is not installed: "
            "pip install 'deltaweir[local]'"
        ) from error
    import jinja2

    now = dt.datetime.now().astimezone()
    budget = sandbox.Budget(_STEPS)
    pieces: list[str] = []
    try:
        made = sandbox.compiled(template).generate(
            {
                **values,
                sandbox.BUDGET: budget,
                "add_generation_prompt": True,
                "enable_thinking": "enable_thinking" in template,
                "date_string": now.strftime("%d %b %Y"),
                "datetime": now.strftime("%b %d %Y"),
                "strftime_now": now.strftime,
            }
        )
        for piece in made:
            budget.spend(len(piece))
            pieces.append(piece)
    except jinja2.TemplateSyntaxError as error:
        message = "the model's chat template is no Jinja template that can be read here"
        raise InvalidRequest(message, param="model") from error
    except sandbox.TemplateRefusedError as error:
        _refuse("refuses these messages; check their roles and their order", error)
    except (sandbox.OutOfBoundsError, MemoryError, RecursionError) as error:
        _refuse(f"did not end within {_STEPS:,} steps", error)
    except Exception as error:  # noqa: BLE001  whatever foreign code does to messages
        _refuse("fails on these messages; check their fields", error)
    return "".join(pieces)


def _refuse(what: str, error: BaseException) -> NoReturn:
    raise InvalidRequest(f"the model's chat template {what}", param="messages") from error


def _message(message: dict[str, Any]) -> dict[str, Any]:
    """Return what the engine keeps of a message."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get(part.get("type"), "") for part in content)
    role, call_id = message.get("role"), message.get("tool_call_id")
    calls, called = message.get("tool_calls"), message.get("function_call")
    if role == "function":
        role, call_id = "tool", f"call_{message.get('name')}"
    if called and not calls:
        calls = [{"id": f"call_{called.get('name')}", "function": called}]
    kept = {
        "reasoning_content": message.get("reasoning_content"),
        "name": message.get("name"),
        "tool_call_id": call_id,
        "tool_calls": [_call(call) for call in calls or ()],
    }
    said = {name: value for name, value in kept.items() if value}
    return {"role": role, "content": content or "", **said}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments", "")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    told = {"type": "function", "function": {"name": function.get("name"), "arguments": arguments}}
    return {**told, "id": call["id"]} if call.get("id") else told


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function") or {}
    return {
        "type": "function",
        "function": {
            "name": function.get("name"),
            "description": function.get("description", ""),
            "parameters": function.get("parameters", {}),
        },
    }


def _parse_arguments(message: dict[str, Any]) -> None:
    for call in message.get("tool_calls", ()):
        try:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        except ValueError as error:
            raise InvalidRequest(
                "a tool call in messages has arguments that are not JSON, expected a JSON object",
                param="messages",
            ) from error


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first, *others = messages
    if others:
        others[0] = {**others[0], "content": f"{first['content']}\n{others[0]['content']}"}
    return others


@functools.lru_cache(maxsize=8)
def _knows_system(template: str) -> bool:
    """Say whether a template shows a system message; the engine tries that out too."""
    return _PROBE in _tried(
        template, [{"role": "system", "content": _PROBE}, {"role": "user", "content": "a"}]
    )


@functools.lru_cache(maxsize=8)
def _writes_objects(template: str) -> bool:
    """Say whether a template itself writes the arguments of a call as JSON."""
    call = {"name": "f", "arguments": {"a": _PROBE}}
    calls = [{"id": "call00001", "type": "function", "function": call}]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "a", "tool_call_id": "call00001"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "a"},
    ]
    written = _tried(template, messages)
    return f'"{_PROBE}"' in written and f'\\"{_PROBE}' not in written


def _tried(template: str, messages: list[dict[str, Any]]) -> str:
    try:
        return _render(template, {"messages": messages, "bos_token": "", "eos_token": ""})
    except InvalidRequest:
        return ""
