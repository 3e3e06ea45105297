"""A conversation from an asyncio program: other tasks run while a person types or reads.

::

    python examples/async_bot.py
    python examples/async_bot.py smollm2

Ctrl-D, or Ctrl-Z on Windows, ends the program.
"""

import asyncio
import contextlib
import sys

import deltaweir

model = sys.argv[1] if len(sys.argv) > 1 else None


async def converse() -> None:
    """Answer line by line until the input ends."""
    messages: list[dict[str, str]] = []
    async with deltaweir.AsyncClient() as client:
        while True:
            question = await asyncio.to_thread(input, "> ")
            messages.append({"role": "user", "content": question})
            async with await client.chat.completions.create(
                model=model, messages=messages, max_tokens=400, stream=True
            ) as stream:
                async for chunk in stream:
                    print(chunk.choices[0].delta.content or "", end="", flush=True)
            print()
            messages.append({"role": "assistant", "content": stream.text})


with contextlib.suppress(EOFError):
    asyncio.run(converse())
