"""Stream from a server with today's openai package, and say as JSON what came."""

import asyncio
import json
import sys
from typing import Any

import openai

base_url, model = sys.argv[1], sys.argv[2]
client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0)
messages: Any = [{"role": "user", "content": "Say hello."}]
short: Any = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 5}
tools: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]
said: dict[str, Any] = {}

chunks = list(client.chat.completions.create(stream=True, **short))
said["text"] = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
said["finish"] = chunks[-1].choices[0].finish_reason
said["account"] = chunks[-1].model_extra["deltaweir"]["usage"]["completion_tokens"]
said["whole"] = client.chat.completions.create(**short).choices[0].message.content

with_usage = list(
    client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **short)
)
said["usage"] = with_usage[-1].usage.completion_tokens
said["empty choices"] = sum(not chunk.choices for chunk in with_usage)

sum_of = [{"role": "user", "content": "What's 1+1? Answer in one word."}]
with client.chat.completions.stream(
    model=model, messages=sum_of, temperature=0, max_tokens=20
) as helped:
    said["events"] = sorted({event.type for event in helped})
    said["final"] = helped.get_final_completion().choices[0].message.content

both = list(client.chat.completions.create(stream=True, n=2, **short))
said["n=2"] = sorted({choice.index for chunk in both for choice in chunk.choices})
scored = client.chat.completions.create(logprobs=True, top_logprobs=2, **short)
entries = scored.choices[0].logprobs.content
said["logprobs"] = [len(entries), {len(entry.top_logprobs) for entry in entries} == {2}]

with client.chat.completions.stream(
    model=model,
    messages=[{"role": "user", "content": "What is the weather in Paris?"}],
    tools=tools,
    tool_choice="required",
    temperature=0,
    max_tokens=100,
) as called:
    call = called.get_final_completion().choices[0].message.tool_calls[0]
    said["tool"] = [call.function.name, sorted(json.loads(call.function.arguments))]

text = client.completions.create(
    model=model, prompt="One, two,", temperature=0, max_tokens=5, stream=True
)
said["completion"] = "".join(chunk.choices[0].text for chunk in text)
said["models"] = [one.id for one in client.models.list()]
for name, call_it in {
    "unknown model": lambda: client.chat.completions.create(model="x", messages=messages),
    "no messages": lambda: client.chat.completions.create(model=model, messages=[]),
    "too long": lambda: client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "a " * 9000}], stream=True
    ),
}.items():
    try:
        call_it()
    except openai.APIStatusError as error:
        said[name] = [type(error).__name__, error.code, bool(error.request_id)]
try:
    for _ in client.with_options(timeout=0.3).chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "word " * 3000}],
        stream=True,
    ):
        pass
    said["timeout"] = None
except openai.APITimeoutError as error:
    said["timeout"] = type(error).__name__


async def awaited() -> str:
    """Stream with the asynchronous client, and hang up in the middle of another stream."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key="unused") as asynchronous:
        left = await asynchronous.chat.completions.create(
            model=model, messages=messages, stream=True, max_tokens=2000
        )
        await anext(aiter(left))
        await left.close()
        found = await asynchronous.chat.completions.create(stream=True, **short)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in found])


said["async"] = asyncio.run(awaited())
print(json.dumps(said))
