"""How many tokens a prompt costs, before it is sent.

OpenAI's chat models see one text, made of the messages, the tools and the response format. How
it is made is documented in part, and was found out in part by asking the API for its count. So
each rule here names its source, and a count carries the weakest label among the rules that went
in (``deltaweir.meter.rules``). Even "official" is no promise: OpenAI may change a model's format
at any time, so the figure that comes back with a reply is the one that counts.

What stands here is the whole prompt; messages, images and tool definitions have modules of their
own. A prompt is its messages, then the beginning of the reply (three tokens), and what the tools
and the response format add to the system message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deltaweir.errors import InvalidRequest
from deltaweir.meter.functions import (
    DEFINITIONS_TOKENS,
    SCHEMA,
    SHARED_SYSTEM_TOKENS,
    TOOLS,
    Rendering,
    compact,
    mapping,
    text_of,
)
from deltaweir.meter.messages import UNKNOWN_MODEL, Tally, listed
from deltaweir.meter.rules import ESTIMATED, OBSERVED, OFFICIAL, Rule, weakest
from deltaweir.meter.tokens import Tokenizer, mended

__all__ = ["PromptCount", "Rule", "count_prompt", "count_text_prompt"]

_PRIMER_TOKENS = 3

_TOOL_CHOICE = Rule(
    "tool_choice", OBSERVED, "https://github.com/hmarr/openai-chat-tokens, src/index.ts"
)
_TOOL_REQUIRED = Rule(
    "tool_choice_other", ESTIMATED, 'nobody documents it; it is counted like "none", one token'
)
_SCHEMA_FORMAT = Rule(
    "response_format",
    ESTIMATED,
    "OpenAI's harmony guide has a section of the system message; other models are assumed to "
    "get the same",
)
_JSON_FORMAT = Rule("response_format", ESTIMATED, "nobody documents this format; it counts nothing")
_TEXT = Rule("text", OFFICIAL, "the prompt itself, and nothing else")


class PromptCount(NamedTuple):
    """The tokens of a prompt and where the number comes from.

    Attributes:
        tokens: Tokens of the whole prompt.
        source: The weakest label of the rules that went in: official, observed or estimated.
        messages: Tokens of each message, in order. The reply's primer, the tools and the response
            format are in none of them.
        rules: The rules that went in, each once.
    """

    tokens: int
    source: str
    messages: tuple[int, ...]
    rules: tuple[Rule, ...]


def count_prompt(
    messages: Sequence[Mapping[str, Any]],
    *,
    tokenizer: Tokenizer,
    model: str | None,
    known: bool = True,
    tools: Sequence[Any] | None = None,
    functions: Sequence[Any] | None = None,
    tool_choice: Any = None,
    function_call: Any = None,
    response_format: Any = None,
) -> PromptCount:
    """Return the tokens of a chat request's prompt.

    Args:
        messages: The messages, plain mappings.
        tokenizer: The model's encoding.
        model: The model's name, which chooses among the rules.
        known: Whether the encoding is known to be the model's; if not, all is estimated.
        tools: The request's field of this name, like those below.
        functions: The older name of tools, without the mapping around each.
        tool_choice: Which tool must be called.
        function_call: The older name of tool_choice.
        response_format: The form that the reply must have.

    Raises:
        InvalidRequest: A field has the wrong type; the message names it.
    """
    tally = Tally(tokenizer, model=model, known=known)
    definitions = [*listed(tools, field="tools"), *listed(functions, field="functions")]
    counts: list[int] = []
    with_system = False
    for at, message in enumerate(listed(messages, field="messages")):
        field = f"messages[{at}]"
        message = mapping(message, field=field)  # noqa: PLW2901  the same, checked
        first_system = not with_system and message.get("role") in ("system", "developer")
        with_system = with_system or first_system
        counts.append(tally.message(message, field=field))
        if first_system and definitions:
            counts[-1] += _padding(tally, message)
    extra = _PRIMER_TOKENS
    if definitions:
        # the first system message holds the definitions; without one, it is added
        extra += _definitions(tally, definitions) - (SHARED_SYSTEM_TOKENS if with_system else 0)
    extra += _choice(tally, tool_choice, field="tool_choice")
    extra += _choice(tally, function_call, field="function_call")
    extra += _response_format(tally, response_format)
    return PromptCount(
        tokens=sum(counts) + extra,
        source=weakest(tally.rules),
        messages=tuple(counts),
        rules=tuple(tally.rules),
    )


def count_text_prompt(
    prompt: str | Sequence[Any], *, tokenizer: Tokenizer, known: bool = True
) -> PromptCount:
    """Return the tokens of a text completion's prompt: a text, texts, token ids, lists of ids.

    Each prompt of a list stands in ``messages`` of the result; each token id counts one.

    Raises:
        InvalidRequest: The prompt is of another type.
    """
    prompts: Sequence[Any] = [prompt] if isinstance(prompt, str) else listed(prompt, field="prompt")
    if prompts and all(_is_id(item) for item in prompts):
        prompts = [prompts]
    counts: list[int] = []
    for at, item in enumerate(prompts):
        if isinstance(item, str):
            counts.append(tokenizer.count(mended(item)))
        elif isinstance(item, list | tuple) and all(_is_id(token) for token in item):
            counts.append(len(item))
        else:
            raise InvalidRequest(
                f"prompt[{at}] is of type {type(item).__name__}, "
                "expected a text or a list of token ids",
                param="prompt",
            )
    rules = (_TEXT,) if known else (_TEXT, UNKNOWN_MODEL)
    return PromptCount(sum(counts), weakest(rules), tuple(counts), rules)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _padding(tally: Tally, message: Mapping[str, Any]) -> int:
    content = message.get("content")
    if not isinstance(content, str):
        return 1
    text = mended(content)
    return tally.tokenizer.count(text + "\n") - tally.tokenizer.count(text)


def _definitions(tally: Tally, definitions: Sequence[Any]) -> int:
    rendering = Rendering()
    text = rendering.namespace(definitions, field="tools")
    tally.note(TOOLS)
    if not rendering.certain:
        tally.note(SCHEMA)
    return tally.text(text, field="tools") + DEFINITIONS_TOKENS


def _choice(tally: Tally, choice: Any, *, field: str) -> int:
    if choice is None or choice == "auto":
        return 0
    if isinstance(choice, str):
        tally.note(_TOOL_CHOICE if choice == "none" else _TOOL_REQUIRED)
        return 1
    choice = mapping(choice, field=field)
    kind = choice.get("type", "function")
    if kind != "function":
        tally.note(_TOOL_REQUIRED)
        return 1
    tally.note(_TOOL_CHOICE)
    function = mapping(choice.get("function", choice), field=f"{field}.function")
    return 4 + tally.text(function.get("name"), field=f"{field}.name")


def _response_format(tally: Tally, wanted: Any) -> int:
    field = "response_format"
    if wanted is None:
        return 0
    kind = text_of(mapping(wanted, field=field).get("type"), field=f"{field}.type")
    if kind != "json_schema":
        if kind != "text":
            tally.note(_JSON_FORMAT)
        return 0
    tally.note(_SCHEMA_FORMAT)
    inner = mapping(wanted.get("json_schema"), field=f"{field}.json_schema")
    name = text_of(inner.get("name", ""), field=f"{field}.json_schema.name")
    about = text_of(inner.get("description") or "", field=f"{field}.json_schema.description")
    schema = compact(inner.get("schema", {}), field=f"{field}.json_schema.schema")
    comment = f"// {about}\n" if about else ""
    return tally.text(f"# Response Formats\n\n## {name}\n\n{comment}{schema}", field=field)
