"""The two snippets that made streaming popular; only the import line has changed.

::

    python examples/classic.py

No provider is configured, so the model on this machine answers for both names, says so once
as a warning, and stands with its true name in every chunk.
"""

import sys

import deltaweir as openai

# chunk by chunk, as the server sends them
response = openai.ChatCompletion.create(
    model="gpt-3.5-turbo",
    messages=[{"role": "user", "content": "What's 1+1? Answer in one word."}],
    temperature=0,
    stream=True,
)
for chunk in response:
    print(chunk)

# text that grows on the screen
for resp in openai.Completion.create(
    model="code-davinci-002", prompt="def hello():", max_tokens=512, stream=True
):
    sys.stdout.write(resp.choices[0].text)
    sys.stdout.flush()
