"""Ask a gateway's scripted models with today's openai package, and say as JSON what came."""

import asyncio
import json
import sys
from typing import Any

import openai

base_url = sys.argv[1]
client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0)
messages: Any = [{"role": "user", "content": "Say hello."}]
parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
said: dict[str, Any] = {}


def ask(model: str, **more: Any) -> Any:
    """Ask a model for a stream, or as told."""
    return client.chat.completions.create(
        model=model, messages=messages, **{"stream": True, **more}
    )


def texts(chunks: list[Any]) -> list[str]:
    """Return what the chunks of a stream bring, by choice."""
    told = {choice.index: "" for chunk in chunks for choice in chunk.choices}
    for chunk in chunks:
        for choice in chunk.choices:
            told[choice.index] += choice.delta.content or ""
    return [text for _, text in sorted(told.items())]


chunks = list(ask("plain"))
said["plain"] = texts(chunks)
said["empty choices"] = sum(not chunk.choices for chunk in chunks)
said["finish"] = chunks[-1].choices[0].finish_reason
said["account"] = chunks[-1].model_extra["deltaweir"]["usage"]["completion_tokens"]

chunks = list(ask("plain", stream_options={"include_usage": True}))
said["usage"] = [chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens]
said["usage before"] = sum(chunk.usage is not None for chunk in chunks[:-1])
said["whole"] = ask("whole", stream=False).choices[0].message.content
said["two"] = texts(list(ask("two", n=2)))

pieces = [
    (call.index, call.id, call.function.name, call.function.arguments)
    for chunk in ask("tools", tools=tools)
    for call in chunk.choices[0].delta.tool_calls or []
]
said["tool pieces"] = pieces
entries = [
    entry.token
    for chunk in ask("scored", logprobs=True)
    for entry in (
        chunk.choices[0].logprobs or openai.types.chat.chat_completion_chunk.ChoiceLogprobs()
    ).content
    or []
]
said["scored"] = entries

said["helper"] = {}
for model, more in {
    "plain": {"stream_options": {"include_usage": True}},
    "tools": {"tools": tools},
    "two": {"n": 2},
    "scored": {"logprobs": True},
}.items():
    with client.chat.completions.stream(model=model, messages=messages, **more) as helped:
        events = {event.type for event in helped}
        final = helped.get_final_completion()
    said["helper"][model] = [
        [
            choice.message.content
            or [[call.function.name, call.function.arguments] for call in choice.message.tool_calls]
            for choice in final.choices
        ],
        [choice.finish_reason for choice in final.choices],
        sorted(event for event in events if event.endswith(".done")),
        final.usage and final.usage.completion_tokens,
    ]

said["errors"] = {}
for model in ("limited", "refusing", "broken", "dying", "nobody"):
    came = ""
    try:
        for chunk in ask(model):
            came += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        status = getattr(error, "status_code", None)
        told = getattr(error, "response", None)
        said["errors"][model] = [
            type(error).__name__,
            status,
            error.code,
            error.param,
            None if told is None else told.headers.get("retry-after"),
            came,
        ]

with ask("endless") as left:
    next(left)


async def aborted() -> str:
    """Leave a stream, cancel another while it waits, and read a third."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key="unused", max_retries=0) as waiting:
        create = waiting.chat.completions.create
        stream = await create(model="endless", messages=messages, stream=True)
        await anext(aiter(stream))
        await stream.close()
        stream = await create(model="endless", messages=messages, stream=True)
        task = asyncio.create_task(asyncio.wait_for(_all(stream), 0.3))
        await asyncio.wait([task])
        await stream.close()
        task.exception()
        found = await create(model="plain", messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in found])


async def _all(stream: Any) -> None:
    async for _ in stream:
        pass


said["async"] = asyncio.run(aborted())
print(json.dumps(said))
