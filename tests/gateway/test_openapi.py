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
    """No route is described that is not there."""
    for path, methods in json.loads(request(gateway, "/openapi.json", method="GET")[2])[
        "paths"
    ].items():
        for method in methods:
            status, _, _ = request(
                gateway, path.replace("{name}", "smollm2"), {}, method=method.upper()
            )
            assert status in (200, 400)


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
