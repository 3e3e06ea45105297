"""The routes that count before, and that report afterwards."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from deltaweir.adapters.prices import price_of
from deltaweir.client.counting import prompt_of
from deltaweir.errors import DeltaweirError, InvalidRequest
from deltaweir.gateway.lanes.bodies import ClientGoneError, fields_of, read_body
from deltaweir.gateway.service import Gateway
from deltaweir.gateway.upstreams.routing import Route
from deltaweir.meter.prices import usd
from deltaweir.schema.frames import error_body
from deltaweir.usage_report import Line, moment_of, report


class _OfGateway(Protocol):
    _gateway: Gateway


_ENCODER = msgspec.json.Encoder()
SelfT = TypeVar("SelfT", bound=_OfGateway)
GROUPED = ("day", "model", "key", "user")
"""How usage is grouped unless told."""
USAGE_QUERY = ("group_by", "since", "until")
"""The parameters of a report; another would be a mistake that changes nothing and shows nothing."""
MOST_LINES = 50_000
"""Lines of a report that is answered: five weeks by the minute, some 15 MB."""


def as_json(value: Any, status: int = 200) -> Response:
    """Return a JSON answer."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def report_json(told: Mapping[str, Any]) -> bytes:
    """Return a report as JSON; line by line, so that other threads have their turn between.

    Args:
        told: As `deltaweir.usage_report.report` returns it.
    """
    lines = b",".join(_ENCODER.encode(line) for line in told["data"])
    return b'{"data":[%b],"total":%b}' % (lines, _ENCODER.encode(told["total"]))


def refusal(error: DeltaweirError) -> Response:
    """Return an error's answer."""
    return Response(error_body(error), error.status, media_type="application/json")


def refusing(
    route: Callable[[SelfT, Request], Awaitable[Response]],
) -> Callable[[SelfT, Request], Awaitable[Response]]:
    """Return a route that answers with an error of ours when it raises one."""

    @functools.wraps(route)
    async def answered(self: SelfT, request: Request) -> Response:
        try:
            return await route(self, request)
        except DeltaweirError as error:
            self._gateway.refused(request.scope, error)
            return refusal(error)

    return answered


class Reports:
    """Count a request that is not sent yet, and report what was used.

    Args:
        gateway: The models and the ledger.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @refusing
    async def count(self, request: Request) -> Response:
        """Answer ``POST /v1/count``: the prompt's tokens of a request body, and their price."""
        caller = await self._gateway.caller_of(request.scope)
        most = int(self._gateway.config.server.max_body_mib * 2**20)
        try:
            fields = fields_of(await read_body(request.receive, most))
        except ClientGoneError:
            return Response(status_code=499)
        fields.pop("deltaweir", None)
        name = fields.get("model")
        if name is not None and not isinstance(name, str):
            raise InvalidRequest(
                f"got a model of type {type(name).__name__}, expected a name", param="model"
            )
        route = self._gateway.routing.route_to(name)
        self._gateway.permit(caller, route.name)
        sent = route.model.embedded or route.model.sent_name(route.name)
        counted = await asyncio.to_thread(prompt_of, {**fields, "model": sent})
        return as_json(
            {
                "prompt_tokens": counted.tokens,
                "source": counted.source,
                "cost_usd": self._cost(route, counted.tokens),
            }
        )

    @refusing
    async def usage(self, request: Request) -> Response:
        """Answer ``GET /v1/usage``; whom the host knows by name sees their own rows, so does a key.

        A key for administrators sees all.
        """
        caller = await self._gateway.caller_of(request.scope)
        query = request.query_params
        for name in query:
            if name not in USAGE_QUERY:
                raise InvalidRequest(
                    f"unknown parameter {name[:40]!r}; known are {', '.join(USAGE_QUERY)}",
                    param=name[:40],
                )
        groups = [name.strip() for name in query.get("group_by", ",".join(GROUPED)).split(",")]
        now = time.time()
        since = moment_of(query.get("since"), param="since", now=now)
        until = moment_of(query.get("until"), param="until", now=now)
        body = await asyncio.to_thread(
            self._report,
            group_by=[name for name in groups if name],
            since=since,
            until=until,
            user=caller.user,
            key_id=caller.own_key,
        )
        return Response(body, media_type="application/json")

    def _report(self, **chosen: Any) -> bytes:
        """Return a report as JSON; blocks.

        Raises:
            InvalidRequest: It would be too long, or a group has an unknown name.
            LedgerUnavailable: The ledger cannot be read.
        """
        lines = self._gateway.book.usage(**chosen, most=MOST_LINES + 1)
        if len(lines) > MOST_LINES:
            raise InvalidRequest(
                f"this report has more than {MOST_LINES} lines; ask for a shorter time by since "
                "and until, or group by less or by longer times",
                param="group_by",
            )
        return report_json(report(lines, self._key_names(lines)))

    def _key_names(self, lines: Sequence[Line]) -> dict[str, str]:
        """Return what the keys of a report are called, as far as that is known."""
        access = self._gateway.access
        keys = {line.key for line in lines if line.key is not None}
        named = {} if access is None else {key: access.name_of(key) for key in keys}
        return {key: name for key, name in named.items() if name is not None}

    def _cost(self, route: Route, tokens: int) -> float | None:
        """Return what a prompt costs in US dollars; None where that is not known."""
        price = self._gateway.routing.price_of(route.model)
        if price is None and route.upstreams:
            sent = route.model.sent_name(route.name)
            price = price_of(sent, base_url=route.upstreams[0].provider.base_url)
            return None if price is None else usd(price.prompt_cost(tokens))
        return 0.0 if price is None else usd(price.prompt_cost(tokens))
