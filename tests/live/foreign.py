"""Servers that nobody here wrote, each in a process of its own: llama.cpp's, and LiteLLM's."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.live.environments import litellm, needs
from tests.live.served import running, until

from deltaweir.testing import unused_port

# llama.cpp's own HTTP server, by way of xllamacpp
_LLAMA = """
import sys, xllamacpp
wanted = xllamacpp.CommonParams()
wanted.model.path, wanted.api_keys, wanted.port = sys.argv[1], [sys.argv[2]], 0
wanted.n_ctx, wanted.n_parallel, wanted.ui, wanted.verbosity = 2048, 2, False, 0
wanted.cpuparams.n_threads, wanted.endpoint_slots = 1, True
server = xllamacpp.Server(wanted)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


class Foreign(NamedTuple):
    """A server that runs.

    Attributes:
        base_url: Its address for clients.
        key: What it wants to see.
    """

    base_url: str
    key: str

    def get(self, path: str) -> Any:
        """Return the JSON that one of its own routes answers."""
        address = urlsplit(self.base_url)
        with contextlib.closing(http.client.HTTPConnection(address.netloc, timeout=30)) as line:
            line.request("GET", path, headers={"authorization": f"Bearer {self.key}"})
            response = line.getresponse()
            body = response.read()
            assert response.status == 200, body
            return json.loads(body)

    @property
    def busy(self) -> int:
        """How many streams llama.cpp computes at this moment."""
        return sum(slot["is_processing"] for slot in self.get("/slots"))


@contextlib.contextmanager
def llama_server(weights: Path, key: str) -> Iterator[Foreign]:
    """Serve a weights file by llama.cpp, two streams at a time."""
    with running([sys.executable, "-c", _LLAMA, weights, key]) as lines:
        words = (word for line in lines for word in line.split())
        address = next(word for word in words if word.startswith("http")).rstrip("/")
        yield Foreign(f"{address}/v1", key)


@contextlib.contextmanager
def litellm_proxy(folder: Path, models: dict[str, dict[str, Any]], key: str) -> Iterator[Foreign]:
    """Serve models by a LiteLLM proxy.

    Args:
        folder: Where its configuration and its log lie.
        models: What stands under ``litellm_params``, by a model's name.
        key: Its master key.
    """
    command = needs(litellm(), "a LiteLLM proxy")
    config = folder / "litellm.yaml"  # JSON is YAML
    named = [{"model_name": name, "litellm_params": params} for name, params in models.items()]
    settings = {
        "model_list": named,
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "general_settings": {"master_key": key},
    }
    config.write_text(json.dumps(settings))
    port = unused_port()
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it is fetched
        "LITELLM_MODE": "PRODUCTION",  # else files named .env are read
        "NO_PROXY": "*",
    }
    proxy = Foreign(f"http://127.0.0.1:{port}/v1", key)
    with (folder / "litellm.log").open("w") as log:
        options = {"stdout": log, "env": environment, "cwd": folder}
        where = ["--host", "127.0.0.1", "--port", str(port)]
        with running([command, "--config", config, *where], **options):
            until(lambda: _answers(proxy), patience_s=120)
            yield proxy


def _answers(server: Foreign) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        server.get("/health/liveliness")
        return True
    return False
