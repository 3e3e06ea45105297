"""The conversation for everybody: by screen readers, with a key, and without storage."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.live.browsing import PHONE, Front, expect, fronted, picture
from tests.live.environments import needs, node
from tests.live.test_page_chat import MAIL, RICH, answer, ask, ended, held

from deltaweir.allowances import KeyRecord, KeyTerms, digest_of
from deltaweir.stores.sqlite_keys import SqliteKeys
from deltaweir.testing import error_answer

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

SCHEMES = ["light", "dark"]


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway that all tests here share."""
    yield from fronted(tmp_path_factory.mktemp("gateway"))


def faults(page: Any) -> list[str]:
    """Return what axe-core finds that is serious or worse."""
    program = needs(node(), "Node") / "node_modules/axe-core/axe.min.js"
    page.evaluate(needs(program if program.exists() else None, "axe-core").read_text())
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary'][:300]}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]


def made_key(folder: Path) -> str:
    """Make a key, as another process does it."""
    key = f"dw-{secrets.token_hex(6)}-{secrets.token_urlsafe(32)}"
    digest = digest_of(key.encode())
    record = KeyRecord(
        id=key[3:15], digest=digest, name="ada", terms=KeyTerms(), created=time.time()
    )
    with SqliteKeys(folder / "deltaweir.db") as keys:
        keys.create(record)
    return key


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_state_shuts_anybody_out(
    front: Front, open_page: Callable[..., Any], scheme: str
) -> None:
    """Empty, while it streams, with code, table, marks and an error: axe finds nothing serious."""
    front.speaker.say("rich", RICH)
    front.speaker.say("mail", MAIL)
    front.speaker.answers["refused"] = error_answer(400, "no")
    page = open_page(front.address, color_scheme=scheme)
    expect(page.locator("#empty")).to_be_visible()
    assert faults(page) == []
    page.get_by_label("Model").select_option("watched")
    for prompt in ("rich", "mail", "refused"):
        ask(page, prompt)
        ended(page)
    picture(page, f"error-{scheme}")
    pause = held(front, "streams", "It goes on", " and ends.")
    ask(page, "streams")
    expect(answer(page)).to_contain_text("It goes")
    assert faults(page) == []
    pause.release()
    ended(page)
    assert faults(page) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_dialog_shuts_anybody_out(
    front: Front, open_page: Callable[..., Any], scheme: str
) -> None:
    """Options, export, help, and the list on a phone."""
    page = open_page(front.address, color_scheme=scheme, viewport=PHONE)
    for name in ("Options", "Export", "Keys and help"):
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert faults(page) == []
        page.keyboard.press("Escape")
    page.get_by_role("button", name="Conversations").click()
    expect(page.get_by_role("complementary")).to_be_visible()
    page.wait_for_timeout(250)
    assert faults(page) == []


def test_a_key_opens_the_page(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    """Without one it asks; a wrong one is refused in words; it lasts as long as the tab."""
    for front in fronted(tmp_path, server='auth = "keys"'):
        page = open_page(front.address)
        expect(page.get_by_label("Key for this server")).to_be_focused()
        expect(page.locator("#chat")).to_be_hidden()
        assert faults(page) == []
        picture(page, "door")
        page.get_by_label("Key for this server").fill("dw-wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).not_to_be_empty()
        page.get_by_label("Key for this server").fill(made_key(tmp_path))
        page.keyboard.press("Enter")
        expect(page.locator("#where")).to_have_text("ada")
        ask(page, "with a key")
        expect(answer(page)).to_have_text("You said: with a key")
        page.reload()
        expect(answer(page)).to_have_text("You said: with a key")
        page.get_by_role("button", name="Other key").click()
        expect(page.get_by_label("Key for this server")).to_be_visible()
        expect(page.locator("#chat")).to_be_hidden()


def test_nothing_goes_on_behind_the_door(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    """With the key forgotten no key press, title or field tells of the conversation."""
    for front in fronted(tmp_path, server='auth = "keys"'):
        page = open_page(front.address)
        page.get_by_label("Key for this server").fill(made_key(tmp_path))
        page.keyboard.press("Enter")
        pause = held(front, "secret", "Before", " and behind.")
        ask(page, "secret")
        expect(answer(page)).to_have_text("Before")
        page.get_by_role("button", name="Other key").click()
        expect(page.get_by_label("Key for this server")).to_have_value("")
        expect(page).to_have_title("Deltaweir")
        page.locator("#theme").focus()
        page.keyboard.press("?")
        page.keyboard.press("Escape")
        expect(page.locator("dialog[open]")).to_have_count(0)
        page.evaluate("location.hash = '#/dashboard'")
        expect(page.locator("#door")).to_be_visible()
        pause.release()
        page.get_by_label("Key for this server").fill(made_key(tmp_path))
        page.keyboard.press("Enter")
        expect(answer(page)).to_have_text("Before and behind.")
        expect(page).to_have_title("secret \u00b7 Deltaweir")


def test_a_server_that_is_away_asks_for_no_key(
    tmp_path: Path, open_page: Callable[..., Any]
) -> None:
    """It is tried again; a kept key stays kept, and an empty field is no key."""
    for front in fronted(tmp_path, server='auth = "keys"'):
        page = open_page(front.address)
        page.get_by_role("button", name="Open").click()
        page.get_by_label("Key for this server").fill(made_key(tmp_path))
        page.get_by_label("Keep it").check()
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_label("Message")).to_be_visible()
        page.route("**/page/settings", lambda route: route.fulfill(status=502, body="Bad gateway"))
        page.reload()
        expect(page.get_by_text("The server cannot be reached.")).to_be_visible()
        expect(page.locator("#door")).to_be_hidden()
        page.unroute("**/page/settings")
        expect(page.locator("#where")).to_have_text("ada")
        expect(page.locator("#away")).to_be_hidden()


def test_the_focus_is_never_lost(front: Front, page: Any) -> None:
    """What had it goes away: then the next thing to use has it."""
    page.goto(front.address)
    ask(page, "focus")
    ended(page)
    page.get_by_role("button", name="Retry").press("Enter")
    expect(page.get_by_label("Message")).to_be_focused()
    ended(page)
    page.get_by_role("button", name="Earlier version").press("Enter")
    expect(page.get_by_text("1/2")).to_be_visible()
    expect(page.get_by_role("button", name="Earlier version")).to_be_focused()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("o")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Options")).to_be_focused()


@pytest.mark.parametrize("where", ["", "#/dashboard"])
def test_a_narrow_screen_scrolls_down_alone(
    front: Front, open_page: Callable[..., Any], where: str
) -> None:
    """At 320 pixels, as at 400 per cent on a desktop, nothing leads sideways."""
    page = open_page(front.address + where, viewport={"width": 320, "height": 640})
    expect(page.locator("#chat, #dashboard").locator("visible=true").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_without_storage_it_works_and_says_so(front: Front, page: Any) -> None:
    """Where the browser keeps nothing, the conversation lasts as long as the page."""
    page.add_init_script(
        "indexedDB.open = () => { throw new DOMException('no', 'SecurityError') };"
        "for (const name of ['localStorage', 'sessionStorage'])"
        "  Object.defineProperty(window, name, { get() { throw new DOMException('no') } });"
    )
    page.goto(front.address)
    expect(page.get_by_text("This browser keeps nothing here")).to_be_visible()
    ask(page, "in memory")
    expect(answer(page)).to_have_text("You said: in memory")
    ended(page)
    expect(page.locator(".conversations .open")).to_have_text(["in memory"])
    page.get_by_role("button", name="Theme").click()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()


def test_announcements_are_few(front: Front, page: Any) -> None:
    """The beginning and the end are told, not each word."""
    told = "window.told = []; new MutationObserver(() => told.push(said.textContent))"
    pause = held(front, "announced", "one two three four five", " six.")
    page.goto(front.address)
    page.evaluate(f"{told}.observe(said, {{ childList: true }})")
    ask(page, "announced")
    expect(answer(page)).to_have_text("one two three four five")
    pause.release()
    ended(page)
    expect(page.locator("#said")).to_contain_text("ended")
    assert page.evaluate("told") == ["The answer begins.", "The answer has ended."]
    assert page.locator("#log").get_attribute("aria-live") == "off"
