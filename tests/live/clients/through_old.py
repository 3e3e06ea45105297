"""Ask a gateway's scripted models with openai 0.28.1, and say as JSON what came."""

import asyncio
import json
import sys
from typing import Any

import openai

openai.api_base, openai.api_key = sys.argv[1], "unused"
messages = [{"role": "user", "content": "Say hello."}]
said: dict[str, Any] = {}


def ask(model: str, **more: Any) -> Any:
    """Ask a model for a stream, or as told."""
    return openai.ChatCompletion.create(model=model, messages=messages, **{"stream": True, **more})


def texts(chunks: list[Any]) -> list[str]:
    """Return what the chunks of a stream bring, by choice."""
    told = {choice.index: "" for chunk in chunks for choice in chunk.choices}
    for chunk in chunks:
        for choice in chunk.choices:
            told[choice.index] += choice.delta.get("content") or ""
    return [text for _, text in sorted(told.items())]


chunks = list(ask("plain"))
said["plain"] = texts(chunks)
said["empty choices"] = sum(not chunk.choices for chunk in chunks)
said["finish"] = chunks[-1].choices[0].finish_reason
said["account"] = chunks[-1].deltaweir.usage.completion_tokens
chunks = list(ask("plain", stream_options={"include_usage": True}))
said["usage"] = [chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens]
said["whole"] = ask("whole", stream=False).choices[0].message.content
said["two"] = texts(list(ask("two", n=2)))
said["tool pieces"] = [
    [call.index, call.get("id"), call.function.get("name"), call.function.arguments]
    for chunk in ask("tools", tools=[{"type": "function", "function": {"name": "weather"}}])
    for call in chunk.choices[0].delta.get("tool_calls") or []
]
said["scored"] = [
    entry.token
    for chunk in ask("scored", logprobs=True)
    for entry in (chunk.choices[0].get("logprobs") or {}).get("content") or []
]

said["errors"] = {}
for model in ("limited", "refusing", "broken", "dying", "nobody"):
    came = ""
    try:
        for chunk in ask(model):
            came += chunk.choices[0].delta.get("content") or ""
    except openai.error.OpenAIError as error:
        said["errors"][model] = [
            type(error).__name__,
            error.http_status,
            error.code,
            getattr(error, "param", None),
            error.headers.get("retry-after"),
            came,
        ]

left = ask("endless")
next(left)
left.close()
openai.requestssession = None


async def awaited() -> str:
    """Stream with the old client's asynchronous call."""
    found = await openai.ChatCompletion.acreate(model="plain", messages=messages, stream=True)
    return "".join([chunk.choices[0].delta.get("content") or "" async for chunk in found])


said["async"] = asyncio.run(awaited())
print(json.dumps(said))
