"""The gateway's description of itself."""

from __future__ import annotations

import json
from typing import Any

from tests.gateway.conftest import Running, request, running

from deltaweir.gateway.openapi import document


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if "$ref" in node else set[str]()
        return own.union(*map(_references, node.values()))
    if isinstance(node, list):
        return set[str]().union(*map(_references, node))
    return set()


def test_every_reference_is_there() -> None:
    """Whatever the document refers to, it has."""
    described = document(["a"])
    names = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert _references(described) <= names


def test_counts_and_reports_are_described(gateway: Running) -> None:
    """A count takes what either completion takes, and a report its three parameters."""
    described = json.loads(request(gateway, "/openapi.json", method="GET")[2])
    body = described["paths"]["/v1/count"]["post"]["requestBody"]["content"]["application/json"]
    assert [one["$ref"].split("/")[-1] for one in body["schema"]["anyOf"]] == [
        "ChatRequest",
        "TextRequest",
    ]
    parameters = described["paths"]["/v1/usage"]["get"]["parameters"]
    assert [one["name"] for one in parameters] == ["group_by", "since", "until"]


def test_every_described_route_answers(gateway: Running) -> None:
    """No route is described that is not there, and no answer but those that are."""
    nobody = "stm_" + "0" * 32
    for path, item in _paths(gateway).items():
        for method in item.keys() & {"get", "post", "delete"}:
            asked = path.replace("{name}", "smollm2").replace("{id}", nobody)
            status, _, answer = request(gateway, asked, {}, method=method.upper())
            if "{id}" in path:
                assert status == 404
                assert json.loads(answer)["error"]["code"] == "stream_not_found"
                assert str(status) in item[method]["responses"]
            else:
                assert status in (200, 400)


def test_streams_are_described(gateway: Running) -> None:
    """One is read from a position, stopped and asked about, each with all that may be answered."""
    stream = _paths(gateway)["/v1/streams/{id}"]
    assert [one["name"] for one in stream["parameters"]] == ["id"]
    assert [(one["name"], one["in"]) for one in stream["get"]["parameters"]] == [
        ("starting_after", "query"),
        ("Last-Event-ID", "header"),
    ]
    assert {*stream["get"]["responses"]} == {"200", "204", "400", "404", "410", "503"}
    assert {*stream["delete"]["responses"]} == {"200", "404", "503"}
    usage = _paths(gateway)["/v1/streams/{id}/usage"]
    assert {*usage["get"]["responses"]} == {"200", "404", "503"}


def _paths(gateway: Running) -> Any:
    return json.loads(request(gateway, "/openapi.json", method="GET")[2])["paths"]


def test_pages_may_ask_for_terms() -> None:
    """A preflight allows our header and the routes that count and report."""
    with running(cors_origins=("https://chat.example",)) as server:
        for path, method in (("/v1/count", "POST"), ("/v1/usage", "GET")):
            headers = {
                "Origin": "https://chat.example",
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "x-deltaweir",
            }
            status, got, _ = request(server, path, method="OPTIONS", headers=headers)
            assert status == 200
            assert got["access-control-allow-origin"] == "https://chat.example"
            assert "x-deltaweir" in got["access-control-allow-headers"]
