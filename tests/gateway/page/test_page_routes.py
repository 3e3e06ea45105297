"""The page's routes: its document, its files, and what it has to know of the server."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import secrets
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from tests.gateway.conftest import Running, configured, request, running, served

import deltaweir
from deltaweir.allowances import KeyRecord, KeyTerms, digest_of
from deltaweir.gateway.config.file import Config, ledger_path
from deltaweir.gateway.page.assets import assets
from deltaweir.gateway.page.routes import POLICY
from deltaweir.stores.sqlite_keys import SqliteKeys

STATIC = Path(deltaweir.__file__).parent / "gateway/page/static"
MOST_BYTES = 150_000


class Document(HTMLParser):
    """What ``index.html`` has: the addresses that it names, and what stands inline."""

    def __init__(self) -> None:
        super().__init__()
        self.named: list[tuple[str, str]] = []
        self.inline: list[str] = []
        self._script: str | None = None
        self.feed(assets().by_path["index.html"].plain.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of addresses, inline styles and handlers."""
        found = {name: value or "" for name, value in attrs}
        self.inline += [f"{tag} {name}" for name in found if name.startswith("on")]
        self.inline += [f"{tag} {name}" for name in found if name == "style"]
        self.inline += [tag] if tag == "style" else []
        if tag == "script":
            self._script = found.get("src")
            self.inline += [] if self._script else ["script"]
        if tag == "link":
            self.named.append((found["rel"], found["href"]))
        elif tag == "script":
            self.named.append((found.get("type", "script"), found.get("src", "")))

    def handle_data(self, data: str) -> None:
        """Look for text within a script."""
        if self.lasttag == "script" and data.strip() and self._script is not None:
            self.inline.append(data)


def path_of(address: str) -> str:
    """Return the path of a file, given its address."""
    return re.sub(r"^page/[0-9a-f]+/", "", address)


def imports_of(path: str) -> Iterator[str]:
    """Yield the modules that one imports at once, by their paths."""
    text = (STATIC / path).read_text()
    for found in re.findall(r'^(?:import|export) (?:[^"]*? from )?"([^"]+)"', text, re.MULTILINE):
        yield (STATIC / path).parent.joinpath(found).resolve().relative_to(STATIC).as_posix()


def modules_from(path: str) -> set[str]:
    """Return all modules that are loaded with one, itself among them."""
    found, waiting = set[str](), [path]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += imports_of(one)
    return found


def test_the_document_has_its_policy(gateway: Running) -> None:
    """It may run only its own files, be framed by nobody, and is asked for again each time."""
    status, headers, body = request(gateway, "/", method="GET")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert headers["cache-control"] == "no-cache"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert b"{{version}}" not in body


def test_files_are_kept_for_good(gateway: Running) -> None:
    """Under the address of this release; under another one they are asked for again."""
    version = assets().version
    status, headers, body = request(gateway, f"/page/{version}/app.js", method="GET")
    assert status == 200
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert body == assets().by_path["app.js"].plain
    other = request(gateway, "/page/0123456789abcdef/app.js", method="GET")
    assert other[1]["cache-control"] == "no-cache"
    assert other[2] == body


@pytest.mark.parametrize("path", ["/", "/page/x/style/base.css"])
def test_what_has_not_changed_is_not_sent_again(gateway: Running, path: str) -> None:
    """The tag of an entity brings a 304 without a body."""
    _, headers, _ = request(gateway, path, method="GET")
    again = request(gateway, path, method="GET", headers={"if-none-match": headers["etag"]})
    assert again[0] == 304
    assert again[2] == b""
    assert again[1]["etag"] == headers["etag"]
    other = request(gateway, path, method="GET", headers={"if-none-match": '"another"'})
    assert other[0] == 200


def test_files_are_compressed_for_who_can_read_that(gateway: Running) -> None:
    """By gzip, and caches are told."""
    path = "/page/x/vendor/markdown-it.umd.min.js"
    _, plain_headers, plain = request(gateway, path, method="GET")
    _, headers, body = request(gateway, path, method="GET", headers={"accept-encoding": "br, gzip"})
    assert headers["content-encoding"] == "gzip"
    assert headers["vary"] == "accept-encoding"
    assert "content-encoding" not in plain_headers
    assert gzip.decompress(body) == plain
    assert len(body) < len(plain) / 2


@pytest.mark.parametrize(
    "path",
    [
        "/page/x/nothing.js",
        "/page/x/../routes.py",
        "/page/x/%2e%2e/routes.py",
        "/page/x/..%2froutes.py",
        "/page/x//etc/passwd",
        "/page/x/vendor/releases.toml",
        "/page/x/",
    ],
)
def test_there_are_no_other_files(gateway: Running, path: str) -> None:
    """What is no file of the page is not found, and no path leads out of its folder."""
    line = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    try:
        line.putrequest("GET", path, skip_host=False)
        line.endheaders()
        answer = line.getresponse()
        assert answer.status == 404
        assert b"import" not in answer.read()
    finally:
        line.close()


def test_the_page_can_be_turned_off() -> None:
    """Without it there is no document, no file and no settings."""
    with running(page=False) as gateway:
        for path in ("/", "/page/settings", "/page/x/app.js"):
            assert request(gateway, path, method="GET")[0] == 404


def test_settings_say_what_the_page_offers(gateway: Running) -> None:
    """Models, guards, whether streams are kept, and who looks."""
    status, headers, body = request(gateway, "/page/settings", method="GET")
    assert status == 200
    assert headers["cache-control"] == "no-store"
    said = json.loads(body)
    assert said["version"] == deltaweir.__version__
    assert said["models"] == [{"id": "smollm2", "embedded": True, "guard": []}]
    assert said["guards"] == ["standard", "secrets", "pii"]
    assert (said["auth"], said["resume"]) == ("none", True)
    assert said["caller"] == {"name": None, "operator": True}


def test_settings_of_a_model_with_a_guard() -> None:
    """What always watches a model is named with it."""
    with running(model={"guard": "pii"}) as gateway:
        said = json.loads(request(gateway, "/page/settings", method="GET")[2])
    assert said["models"][0]["guard"] == ["pii"]


def test_a_key_sees_its_own_models() -> None:
    """Without one the settings are refused, though the document is there to ask for it."""
    with tempfile.TemporaryDirectory() as folder:
        config = configured(folder, auth="keys")
        keys = {model: made_key(config, model) for model in ("smollm2", "other")}
        with served(config) as gateway:
            assert request(gateway, "/", method="GET")[0] == 200
            assert request(gateway, "/page/settings", method="GET")[0] == 401
            for model, key in keys.items():
                told = {"authorization": f"Bearer {key}"}
                body = request(gateway, "/page/settings", method="GET", headers=told)[2]
                said = json.loads(body)
                assert [one["id"] for one in said["models"]] == [model] * (model == "smollm2")
                assert said["caller"] == {"name": "reader", "operator": False}


def made_key(config: Config, model: str) -> str:
    """Make a key that may use one model."""
    key = f"dw-{secrets.token_hex(6)}-{secrets.token_urlsafe(32)}"
    terms = KeyTerms(models=(model,))
    digest = digest_of(key.encode())
    with SqliteKeys(Path(ledger_path(config.ledger.url))) as keys:
        keys.create(KeyRecord(id=key[3:15], digest=digest, name="reader", terms=terms, created=1.0))
    return key


def test_it_works_below_any_path(tmp_path: Path) -> None:
    """Mounted by a host, the document names its files relative to itself."""
    app = Starlette(routes=[Mount("/llm", deltaweir.asgi(configured(tmp_path)))])
    with TestClient(app) as client:
        assert client.get("/llm/").status_code == 200
        for _, address in Document().named:
            assert not address.startswith("/")
            assert client.get(f"/llm/{address}").status_code == 200
        assert client.get("/llm/page/settings").json()["models"][0]["id"] == "smollm2"


def test_nothing_stands_inline() -> None:
    """No script, style or handler that the policy would have to allow."""
    assert Document().inline == []


def test_the_document_names_what_there_is() -> None:
    """Each address in it leads to a file."""
    for _, address in Document().named:
        assert path_of(address) in assets().by_path


def test_no_module_waits_for_another() -> None:
    """All that is imported at the start is named in the document, and no more than that."""
    named = {path_of(address) for rel, address in Document().named if rel == "modulepreload"}
    assert named | {"app.js"} == modules_from("app.js")


def test_comments_stay_at_home() -> None:
    """What is sent has none, every line where it was; other people's files are as they were."""
    for path, asset in assets().by_path.items():
        here = (STATIC / path).read_bytes()
        if path.startswith("vendor/"):
            assert asset.plain == here
        elif path.endswith((".js", ".css")):
            assert b"/**" not in asset.plain
            assert asset.plain.count(b"\n") == here.count(b"\n")


def test_all_of_it_is_small() -> None:
    """Compressed, all that a browser ever fetches stays below the bar; licences it does not."""
    sizes = {
        path: len(asset.compressed)
        for path, asset in assets().by_path.items()
        if not path.endswith("LICENSE")
    }
    assert sum(sizes.values()) < MOST_BYTES, sizes
