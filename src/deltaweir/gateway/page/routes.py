"""The routes of the page: its document, its files, and what it has to know of the server."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deltaweir.gateway.page.assets import INDEX, Asset, assets
from deltaweir.gateway.page.settings import settings
from deltaweir.gateway.routes.reports import as_json, refusing
from deltaweir.gateway.service import Gateway

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types dompurify"
)
"""The Content-Security-Policy: only our own files run, nothing is fetched from elsewhere, and
text becomes HTML only through DOMPurify (W3C, Content Security Policy 3; Trusted Types)."""
_HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_FOR_GOOD = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


def page_routes(gateway: Gateway) -> list[Route]:
    """Return the page's routes; none where the configuration turns it off."""
    if not gateway.config.server.page:
        return []
    page = _Page(gateway)
    return [
        Route("/", page.document),
        Route("/page/settings", page.settings),
        Route("/page/{version}/{path:path}", page.file),
    ]


class _Page:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def document(self, request: Request) -> Response:
        kept = await asyncio.to_thread(assets)
        return _answer(request, kept.by_path[INDEX], _ASK_AGAIN)

    async def file(self, request: Request) -> Response:
        kept = await asyncio.to_thread(assets)
        asset = kept.by_path.get(request.path_params["path"])
        if asset is None:
            return Response("There is no such file.\n", 404, _HEADERS, "text/plain")
        # an address of another release, from a page that was open before: not to be kept
        same = request.path_params["version"] == kept.version
        return _answer(request, asset, _FOR_GOOD if same else _ASK_AGAIN)

    @refusing
    async def settings(self, request: Request) -> Response:
        caller = await self._gateway.caller_of(request.scope)
        answer = as_json(settings(self._gateway, caller))
        answer.headers["cache-control"] = "no-store"
        return answer


def _answer(request: Request, asset: Asset, caching: str) -> Response:
    headers = {
        **_HEADERS,
        "cache-control": caching,
        "etag": asset.etag,
        "vary": "accept-encoding",
    }
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = asset.plain
    if "gzip" in request.headers.get("accept-encoding", ""):
        body = asset.compressed
        headers["content-encoding"] = "gzip"
    return Response(body, headers=headers, media_type=asset.kind)
