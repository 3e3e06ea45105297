"""The errors a program can meet, and what each of them carries.

::

    python examples/errors.py

It takes the small model and asks no provider, so every error here happens on this machine.
"""

import deltaweir

client = deltaweir.Client()
MODEL = "smollm2"
QUESTION = [{"role": "user", "content": "Write a very long story about a river."}]

print("A field has a value that is not allowed:")
try:
    client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=3)
except deltaweir.InvalidRequest as error:
    print(f"  {error}")
    print(f"  param={error.param} status={error.status} code={error.code}")

print("No model has this name:")
try:
    client.chat.completions.create(model="smolm2", messages=QUESTION)
except deltaweir.ModelNotFound as error:
    print(f"  {error}")
    print(f"  status={error.status} code={error.code}")

print("The prompt is longer than the model's context:")
try:
    client.completions.create(model=MODEL, prompt="river " * 10_000)
except deltaweir.ContextLengthExceeded as error:
    print(f"  {error}")
    print(f"  prompt_tokens={error.prompt_tokens} context_tokens={error.context_tokens}")

print("The answer is not whole in time; what came is kept:")
try:
    client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, timeout=5)
except deltaweir.StallTimeout as error:
    print(f"  {error}")
    if error.partial and error.partial.reply.choices:
        print(f"  text={error.partial.reply.choices[0].message.content[:40]!r}...")
        print(f"  usage={error.partial.usage.completion_tokens} tokens")

print("The reader has had enough, which is no error at all:")
with client.chat.completions.create(
    model=MODEL, messages=QUESTION, temperature=0, stream=True
) as stream:
    for _ in stream:
        if "." in stream.text:
            break
print(f"  text={stream.text[:40]!r}...")
print(f"  usage={stream.usage.completion_tokens if stream.usage else 0} tokens")
print(f"  complete={stream.complete} stopped_by={stream.stopped_by}")
