"""A conversation with the model on this machine, in 20 lines.

::

    python examples/bot.py
    python examples/bot.py smollm2

Ctrl-C ends an answer, or at the prompt the program; the bot remembers what it had said.
"""

import contextlib
import sys

import deltaweir

model = sys.argv[1] if len(sys.argv) > 1 else None
client = deltaweir.Client()
messages: list[dict[str, str]] = []

with contextlib.suppress(EOFError, KeyboardInterrupt):
    while True:
        messages.append({"role": "user", "content": input("> ")})
        with (
            client.chat.completions.create(
                model=model, messages=messages, max_tokens=400, stream=True
            ) as stream,
            contextlib.suppress(KeyboardInterrupt),
        ):
            for chunk in stream:
                print(chunk.choices[0].delta.content or "", end="", flush=True)
        print()
        messages.append({"role": "assistant", "content": stream.text})
