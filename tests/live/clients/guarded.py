"""Stream many answers with an openai package, old or new, and write all that came as JSON.

The requests stand on stdin, as a list; for each answer a line is written. With the folder of a
package behind the address, this is run by the Python that has deltaweir, and each stream but the
first is watched with the standard guard; with a third argument the asynchronous client is used.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

base_url, *rest = sys.argv[1:]
sys.path.extend(rest[:1])
awaiting = len(rest) > 1

import openai  # noqa: E402  # it may be in the folder

if hasattr(openai, "OpenAI"):
    kind = openai.AsyncOpenAI if awaiting else openai.OpenAI
    client: Any = kind(base_url=base_url, api_key="unused", max_retries=0)
    create = client.chat.completions.create
else:
    openai.api_base, openai.api_key = base_url, "unused"
    chat: Any = openai.ChatCompletion
    create = chat.acreate if awaiting else chat.create


async def chunks_of(number: int, request: dict[str, Any]) -> AsyncIterator[Any]:
    """Yield the chunks of an answer."""
    stream = create(stream=True, **request)
    if rest:
        from deltaweir import watch

        stream = watch(stream, guard="standard" if number else None)
    if awaiting:
        async for chunk in stream:
            yield chunk
    else:
        for chunk in stream:
            yield chunk


async def main() -> None:
    """Read one answer after the other."""
    for number, request in enumerate(json.load(sys.stdin)):
        chunks: list[Any] = []
        said = None
        try:
            async for chunk in chunks_of(number, request):
                dump = getattr(chunk, "model_dump", None)
                chunks.append(dump(exclude_unset=True) if dump else chunk)
        except Exception as error:  # noqa: BLE001  # whichever it is, the test reads it
            said = [type(error).__name__, str(error), repr(getattr(error, "body", None))]
        print(json.dumps({"chunks": chunks, "error": said}))


asyncio.run(main())
