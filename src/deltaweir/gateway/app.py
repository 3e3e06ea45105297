"""The gateway as an ASGI application: its routes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from deltaweir.client.requests import new_request_id
from deltaweir.errors import InvalidRequest, PermissionDenied
from deltaweir.gateway.config.server import OWN_ROUTES
from deltaweir.gateway.cross_site import check_site
from deltaweir.gateway.lanes.answer import send_error
from deltaweir.gateway.lanes.lane import Message, Send
from deltaweir.gateway.log.refusals import REQUEST_ID
from deltaweir.gateway.openapi import document
from deltaweir.gateway.page.routes import page_routes
from deltaweir.gateway.readiness import readiness
from deltaweir.gateway.routes.completions import Completions
from deltaweir.gateway.routes.dashboard import DashboardRoute, StreamList
from deltaweir.gateway.routes.passthrough import Passthrough, passes
from deltaweir.gateway.routes.reports import Reports, as_json, refusal, refusing
from deltaweir.gateway.routes.streams import OneStream, StreamUsage
from deltaweir.gateway.service import Gateway

_READABLE = (
    "x-request-id",
    "x-deltaweir-stream-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    *(
        f"x-ratelimit-{what}-{of}"
        for what in ("limit", "remaining", "reset")
        for of in ("requests", "tokens")
    ),
)
"""Headers of an answer that a page of another origin may read, beside the harmless few."""


def application(gateway: Gateway) -> Starlette:
    """Return the routes as an ASGI application, to be served or mounted."""
    origins = list(gateway.config.server.cors_origins)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["*"],
        expose_headers=_READABLE,
    )
    control, reports = _Control(gateway), Reports(gateway)
    direct = {
        "/v1/chat/completions": Completions(gateway, chat=True),
        "/v1/completions": Completions(gateway, chat=False),
    }
    return _Application(
        gateway,
        {} if origins else direct,
        routes=[
            *(Route(path, route) for path, route in direct.items()),
            Route("/v1/dashboard", DashboardRoute(gateway)),
            Route("/v1/streams", StreamList(gateway)),
            Route("/v1/streams/{id}", OneStream(gateway)),
            Route("/v1/streams/{id}/usage", StreamUsage(gateway)),
            Route("/v1/count", reports.count, methods=["POST"]),
            Route("/v1/usage", reports.usage),
            Route("/v1/models", control.list_models),
            Route("/v1/models/{name:path}", control.model),
            Route("/metrics", control.metrics),
            Route("/healthz", control.health),
            Route("/readyz", control.ready),
            Route("/openapi.json", control.openapi),
            *page_routes(gateway),
            _Passing(gateway),
        ],
        middleware=[cors] if origins else [],
        exception_handlers={404: control.not_found, 405: control.not_allowed},
    )


class _Application(Starlette):
    """Routes, of which those that nothing stands in front of are called at once.

    Args:
        gateway: Whose routes they are.
        direct: Routes by their paths.
        **options: As for Starlette.
    """

    def __init__(self, gateway: Gateway, direct: Mapping[str, Completions], **options: Any) -> None:
        super().__init__(**options)
        # its target would be built from the Host, and be plain HTTP where a proxy has the TLS
        self.router.redirect_slashes = False
        self._gateway = gateway
        self._direct = direct
        self._origins = gateway.config.server.cors_origins

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        mounted = bool(scope.get("root_path"))  # by a host, who says itself who may call
        if scope["type"] == "http" and not mounted:
            try:
                if self._gateway.is_open:
                    check_site(scope["method"], scope["headers"], self._origins)
            except PermissionDenied as error:
                request_id = new_request_id()
                self._gateway.refused(scope, error, request_id=request_id)
                await send_error(send, error, request_id=request_id)
                return
            route = self._direct.get(scope["path"])
            if route is not None:
                await route(scope, receive, send)
                return
        request_id = scope[REQUEST_ID] = new_request_id()
        await super().__call__(scope, receive, _with_request_id(send, request_id))


def _with_request_id(send: Send, request_id: str) -> Send:
    """Return a ``send`` that gives an answer this id, unless it has one."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.setdefault("headers", [])
            if all(name != b"x-request-id" for name, _ in headers):
                message["headers"] = [*headers, (b"x-request-id", request_id.encode())]
        await send(message)

    return sent


class _Passing(Route):
    """The routes that are passed on, as the configuration says at the moment of a request."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__("/v1/{rest:path}", Passthrough(gateway))
        self._gateway = gateway

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """Match what is passed on, and nothing else: other paths are not found."""
        patterns = self._gateway.config.server.passthrough
        if patterns and scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if passes(patterns, path):
                return super().matches(scope)
        return Match.NONE, {}


class _Control:
    """The routes about the server itself."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @refusing
    async def list_models(self, request: Request) -> Response:
        caller = await self._gateway.caller_of(request.scope)
        # a pattern is no model that one could ask for
        names = [name for name in self._gateway.routing.models if not name.endswith("*")]
        if caller.key is not None:
            names = [name for name in names if caller.key.terms.permit(name)]
        return as_json({"object": "list", "data": [_model(name) for name in names]})

    @refusing
    async def model(self, request: Request) -> Response:
        name = request.path_params["name"]
        if not name:
            return await self.not_found(request)
        caller = await self._gateway.caller_of(request.scope)
        route = self._gateway.routing.route_to(name)
        self._gateway.permit(caller, route.name)
        return as_json(_model(route.name))

    @refusing
    async def metrics(self, request: Request) -> Response:
        """Show what Prometheus reads; with keys, to administrators alone."""
        caller = await self._gateway.caller_of(request.scope)
        if caller.own_key is not None:
            raise PermissionDenied(
                "metrics are for keys made by `deltaweir keys create --admin`", code="not_admin"
            )
        metrics = self._gateway.metrics
        metrics.publish()
        accept = request.headers.get("accept", "")
        kind, body = await asyncio.to_thread(metrics.exposition, accept)
        return Response(body, headers={"content-type": kind})

    async def health(self, _request: Request) -> Response:
        return as_json({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        return as_json(*readiness(self._gateway))

    async def openapi(self, _request: Request) -> Response:
        return as_json(document(self._gateway.routing.models))

    async def not_found(self, request: Request, _error: Exception | None = None) -> Response:
        path = request.url.path
        hint = ""
        if path == "/dashboard" and self._gateway.config.server.page:
            hint = "; it is on the page, at /#/dashboard"
        elif f"/v1{path}" in OWN_ROUTES:
            hint = "; let the base_url end with /v1"
        elif path.removesuffix("/") in OWN_ROUTES:
            hint = "; leave out the slash at its end"
        elif path.startswith("/v1/"):
            hint = "; whoever runs this server can pass it on by [server] passthrough"
        error = InvalidRequest(f"there is no {path}{hint}", status=404, code="not_found")
        self._gateway.refused(request.scope, error)
        return refusal(error)

    async def not_allowed(self, request: Request, _error: Exception) -> Response:
        error = InvalidRequest(
            f"{request.url.path} does not take {request.method}", status=405, code="not_allowed"
        )
        self._gateway.refused(request.scope, error)
        return refusal(error)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "deltaweir"}
