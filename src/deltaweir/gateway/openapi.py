"""The gateway's description of itself, made from the types it reads and writes."""

from __future__ import annotations

from typing import Any

import msgspec

from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.schema.request import ChatRequest, TextRequest
from deltaweir.usage_report import GROUPS

_REF = "#/components/schemas/{name}"
_COUNT = "prompt_tokens of the request, their source, and cost_usd"
_METRICS = "figures for Prometheus; with keys, for those of administrators alone"
_USAGE = (
    "data: streams, tokens, cost_usd and how many failed of each group, key_name where a group has "
    "a key; total: their sum"
)
_RUNNING = "data: the streams of the key that run now, the newest first; of all keys for --admin"
_SNAPSHOT = "what runs now, how fast, what has ended; with keys, for those of administrators alone"
_STREAMED = {
    "name": "stream",
    "in": "query",
    "schema": {"type": "boolean"},
    "description": "whether a snapshot comes each second, as events of the type snapshot; so too "
    "where text/event-stream is accepted",
}
_USAGE_QUERY = [
    {"name": name, "in": "query", "schema": {"type": "string"}, "description": what}
    for name, what in (
        ("group_by", f"any of {', '.join(GROUPS)}, joined by commas"),
        ("since", "a date, how long ago (7d, 12h), or seconds since 1970; inclusive"),
        ("until", "likewise; exclusive"),
    )
]
_STREAM_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "x-deltaweir-stream-id of the stream's answer",
}
_STREAM_POSITION = [
    {
        "name": "starting_after",
        "in": "query",
        "schema": {"type": "integer", "minimum": 0},
        "description": "the number of the last event that one has; 0, as without it, gives all",
    },
    {
        "name": "Last-Event-ID",
        "in": "header",
        "schema": {"type": "string"},
        "description": "the id of the last event that one has, or its number; it comes first",
    },
]
_STREAM_READ = {
    "204": "the stream has ended, and there is nothing behind that event",
    "400": "the position is no number, or the event is another stream's",
    "410": "what follows that event is no longer kept; the message tells the first that is",
}
_STREAM_REFUSED = {
    "404": "there is no such stream, or it is another's, or it was not asked to be resumed",
    "503": "the store, or the gateway that runs the stream, cannot be asked now; ask again",
}
_STREAM_USAGE = "usage, cost_usd, source, and ending, which is null while the stream runs"


def document(models: list[str]) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document.

    Args:
        models: The names of the models that are served.
    """
    types = [ChatRequest, TextRequest, Reply, TextReply, Chunk, TextChunk]
    _, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Deltaweir",
            "version": "1",
            "description": f"OpenAI-compatible completions. Models: {', '.join(models)}.",
        },
        "paths": {
            "/v1/chat/completions": _completion(ChatRequest, Reply, Chunk),
            "/v1/completions": _completion(TextRequest, TextReply, TextChunk),
            "/v1/count": {"post": _body(ChatRequest, TextRequest) | _answer(_COUNT)},
            "/v1/usage": {"get": _answer(_USAGE) | {"parameters": _USAGE_QUERY}},
            "/v1/models": {"get": _answer("the models")},
            "/v1/models/{name}": {
                "get": _answer("one model")
                | {"parameters": [{"name": "name", "in": "path", "required": True}]}
            },
            "/v1/dashboard": {"get": _dashboard()},
            "/v1/streams": {"get": _answer(_RUNNING)},
            "/v1/streams/{id}": _stream(),
            "/v1/streams/{id}/usage": {
                "parameters": [_STREAM_ID],
                "get": _refusable(_answer(_STREAM_USAGE), _STREAM_REFUSED),
            },
            "/metrics": {
                "get": {
                    "responses": {
                        "200": {"description": _METRICS, "content": {"text/plain": {}}},
                    }
                }
            },
            "/healthz": {"get": _answer("whether the process lives")},
            "/readyz": {"get": _answer("whether it takes requests")},
        },
        "components": {"schemas": schemas},
    }


def _completion(request: type, reply: type, chunk: type) -> dict[str, Any]:
    event = f"server-sent events, each with a {chunk.__name__} as data; the last is [DONE]"
    return {
        "post": _body(request)
        | {
            "responses": {
                "200": {
                    "description": f"the reply; with stream, {event}",
                    "content": {
                        "application/json": _schema(reply),
                        "text/event-stream": _schema(chunk),
                    },
                }
            },
        }
    }


def _stream() -> dict[str, Any]:
    events = "server-sent events behind that one, as they were sent, each with its id"
    read = {
        "parameters": _STREAM_POSITION,
        "responses": {
            "200": {
                "description": f"{events}; data is a Chunk or a TextChunk, the last is [DONE]",
                "content": {
                    "text/event-stream": {"schema": {"anyOf": _references(Chunk, TextChunk)}}
                },
            }
        },
    }
    stopped = _answer(f"it has ended, now or before, for everyone: {_STREAM_USAGE}")
    return {
        "parameters": [_STREAM_ID],
        "get": _refusable(read, _STREAM_READ | _STREAM_REFUSED),
        "delete": _refusable(stopped, _STREAM_REFUSED),
    }


def _dashboard() -> dict[str, Any]:
    answer = _answer(_SNAPSHOT) | {"parameters": [_STREAMED]}
    answer["responses"]["200"]["content"]["text/event-stream"] = {}
    return _refusable(answer, {"403": "the key is none of an administrator's"})


def _refusable(operation: dict[str, Any], refusals: dict[str, str]) -> dict[str, Any]:
    """Return an operation with further answers, by their status."""
    told = {status: {"description": what} for status, what in refusals.items()}
    return operation | {"responses": operation["responses"] | told}


def _references(*kinds: type) -> list[dict[str, Any]]:
    return [_schema(kind)["schema"] for kind in kinds]


def _body(*requests: type) -> dict[str, Any]:
    schemas = _references(*requests)
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _schema(kind: type) -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(name=kind.__name__)}}


def _answer(what: str) -> dict[str, Any]:
    return {"responses": {"200": {"description": what, "content": {"application/json": {}}}}}
