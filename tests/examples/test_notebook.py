"""The notebook runs in a kernel, and interrupting a cell stops the model and keeps the text."""

from __future__ import annotations

import asyncio
import copy
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"
RUNNING = """
import time
from deltaweir.sources.local.engine import _engines
until = time.monotonic() + 5
while (running := sum(engine.running for engine in _engines.values())) and time.monotonic() < until:
    time.sleep(0.01)
print(running)
"""


def notebook() -> Any:
    """Read the notebook."""
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def shown(cell: Any) -> str:
    """Return what a cell printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


async def interrupt(client: NotebookClient, cell: Any, index: int) -> None:
    """Run a cell and press the ■ button once it has printed something."""
    running = asyncio.create_task(client.async_execute_cell(cell, index))
    while not shown(cell):  # noqa: ASYNC110  # a kernel sets no event
        await asyncio.sleep(0.01)
    kernel: Any = client.km
    await kernel.interrupt_kernel()
    await running


async def test_notebook_runs_and_interrupting_keeps_what_came() -> None:
    """Sync, awaited and interrupted streams all leave what a person expects in the notebook."""
    book = notebook()
    book.cells.append(copy.deepcopy(book.cells[-1]))
    book.cells[-1].update(id="running", source=RUNNING)
    code = [index for index, cell in enumerate(book.cells) if cell.cell_type == "code"]
    client = NotebookClient(book, timeout=50, allow_errors=True)
    async with client.async_setup_kernel():
        for index in code:
            cell = book.cells[index]
            if "very long story" in cell.source:
                await interrupt(client, cell, index)
            else:
                await client.async_execute_cell(cell, index)
    _, watched, measured, awaited, stopped, kept, idle = (book.cells[index] for index in code)

    assert shown(watched).strip()
    assert re.match(r"(stop|length)\nUsage\(completion_tokens=[1-9]", shown(measured))
    assert shown(awaited).strip()
    assert [out.ename for out in stopped.outputs if out.output_type == "error"] == [
        "KeyboardInterrupt"
    ]
    text, usage, stopped_by = shown(kept).rstrip().rsplit("\n", 2)
    assert text
    assert shown(stopped).endswith(text)
    tokens = re.match(r"Usage\(completion_tokens=(\d+)", usage)
    assert tokens
    assert 0 < int(tokens[1]) < 2000
    assert stopped_by == "reader"
    assert shown(idle).strip() == "0"


@pytest.mark.parametrize("field", ["outputs", "execution_count"])
def test_notebook_is_kept_without_outputs(field: str) -> None:
    """What a run leaves behind is not checked in."""
    assert not any(cell.get(field) for cell in notebook().cells)
