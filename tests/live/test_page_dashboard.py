"""The dashboard in a real browser, in front of a gateway under many streams."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.live.browsing import PHONE, PRICE, expect, picture
from tests.live.crowds import Crowd
from tests.live.environments import LIVE, ROOT, needs, node
from tests.live.provider import Play
from tests.live.served import Served, model, until, upstream

from deltaweir.testing import unused_port

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

MANY = 200
FRAME_MS = 16.0
OPEN = "#/dashboard"
ROWS = "#streams tbody tr"
# a millisecond in which nothing else ran: what the page itself costs, however busy the machine
COSTS = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration")


class Front(NamedTuple):
    """A gateway with its provider and its clients."""

    crowd: Crowd
    served: Served

    @property
    def address(self) -> str:
        """Where the dashboard is."""
        return self.served.base_url.removesuffix("/v1") + "/" + OPEN

    def ask(self, number: int, pieces: int = 3, **options: Any) -> Any:
        """Have one answer to its end."""
        play = Play(number, pieces, pause_s=0.02)
        reading = self.crowd.read(self.served.address, play, **options)
        until(lambda: reading.done or reading.error is not None)
        return reading


def tables(crowd: Crowd) -> str:
    """Return the configuration of two models, one with a price and one without."""
    return "\n".join(
        [
            upstream("stage", crowd.provider.base_url, 'api_key = "none"'),
            model("paced", ["stage"], PRICE),
            model("unpriced", ["stage"]),
        ]
    )


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway that most tests share, which was used a little."""
    folder = tmp_path_factory.mktemp("gateway")
    with Crowd() as crowd, Served(folder, tables(crowd)) as served:
        shared = Front(crowd, served)
        for number in range(4):
            shared.ask(number, 3 + number, model="unpriced" if number == 3 else "paced")
        served.rows(4)
        yield shared


@pytest.fixture
def crowded(front: Front) -> Iterator[Front]:
    """The same under many streams, which leave at the end."""
    for number in range(MANY):
        front.crowd.read(
            front.served.address, Play(number, 4000, pause_s=0.2), user=f"user-{number}"
        )
    until(lambda: front.crowd.provider.running >= MANY)
    yield front
    front.crowd.leave()
    until(lambda: front.crowd.provider.running == 0)


@pytest.fixture
def few(front: Front) -> Iterator[list[Any]]:
    """Three streams that are alive until the end of a test."""
    plays = [Play(number, 4000, pause_s=0.05) for number in range(3)]
    yield [front.crowd.read(front.served.address, play, user=f"u{play.number}") for play in plays]
    front.crowd.leave()
    until(lambda: front.crowd.provider.running == 0)


def figure(page: Any, title: str) -> Any:
    """Return a figure of the top."""
    return page.locator(".tile", has_text=title).locator(".figure")


def state(page: Any, word: str) -> None:
    """Wait until the dashboard says so of itself."""
    expect(page.locator(".status-word")).to_have_text(word)


def serious(page: Any) -> list[str]:
    """Return what axe-core finds that is serious or worse."""
    program = needs(node(), "Node") / "node_modules/axe-core/axe.min.js"
    page.evaluate(program.read_text() + "\n;0")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
    ]


def sideways(page: Any) -> int:
    """Return by how many pixels the page is wider than its window."""
    width: int = page.evaluate(
        "Math.max(document.documentElement.scrollWidth, dashboard.scrollWidth) - innerWidth"
    )
    return width


def test_modules_without_a_document() -> None:
    """Numbers, percentiles, rows, series, CSV and colours are what `node --test` says they are."""
    needs(node(), "Node")
    program = shutil.which("node")
    assert program
    files = sorted((ROOT / "tests/live/page").glob("dashboard*.test.mjs"))
    command: list[str | Path] = [program, "--test", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_an_empty_dashboard_explains_itself(tmp_path: Path, page: Any) -> None:
    """It says what would be where nothing is yet, and how to make a stream."""
    with Crowd() as crowd, Served(tmp_path, tables(crowd)) as served:
        page.goto(Front(crowd, served).address)
        state(page, "live")
        expect(figure(page, "Streams alive")).to_have_text("0")
        expect(figure(page, "Cost today")).to_have_text("$0")
        for words in ("No stream is alive", "curl -N", "Nothing was used", "No stream has ended"):
            expect(page.locator("#dashboard")).to_contain_text(words)
        assert serious(page) == []
        picture(page, "dashboard-empty")
        page.goto("about:blank")


def test_the_last_view_that_was_asked_for_is_shown(tmp_path: Path, page: Any) -> None:
    """Also where somebody goes back to Chat while the dashboard is still fetched."""
    with Crowd() as crowd, Served(tmp_path, tables(crowd)) as served:
        waiting: list[Any] = []

        def hold(route: Any) -> None:
            waiting.append(route)

        page.route("**/dashboard/main.js", hold)
        page.goto(Front(crowd, served).address.removesuffix(OPEN))
        expect(page.get_by_label("Message")).to_be_visible()
        with page.expect_request("**/dashboard/main.js"):
            page.get_by_role("link", name="Dashboard").click()
        page.get_by_role("link", name="Chat").click()
        expect(page).to_have_url(re.compile("#/$"))
        with page.expect_response("**/dashboard/plot.js"):
            waiting[0].continue_()
        page.wait_for_timeout(200)
        expect(page.locator("#chat")).to_be_visible()
        expect(page.locator("#dashboard")).to_be_hidden()
        page.get_by_role("link", name="Dashboard").click()
        state(page, "live")
        page.goto("about:blank")


def test_many_streams_are_shown_and_grow(crowded: Front, page: Any) -> None:
    """A row each, whose figures grow where they are; and a snapshot fits into a frame."""
    page.goto(crowded.address)
    expect(page.locator(ROWS)).to_have_count(MANY)
    expect(figure(page, "Streams alive")).to_have_text(str(MANY))
    row = page.locator(ROWS).first
    stream = row.get_attribute("data-id")
    row.get_by_role("button").focus()
    page.evaluate(
        """(id) => {
        const cell = document.querySelector(`[data-id="${id}"] .id`);
        getSelection().selectAllChildren(cell);
        window.kept = document.querySelector(`[data-id="${id}"]`);
    }""",
        stream,
    )
    tokens = page.locator(f"[data-id={stream}] [data-label=Tokens]")
    before = tokens.inner_text()
    expect(tokens).not_to_have_text(before, timeout=30_000)
    assert page.evaluate("kept.isConnected && kept.contains(document.activeElement)")
    assert page.evaluate("getSelection().toString()") == stream
    assert serious(page) == []
    assert sideways(page) == 0
    assert cost_of_a_snapshot(page) < FRAME_MS
    page.emulate_media(color_scheme="dark")
    picture(page, "dashboard-many-dark")
    page.emulate_media(color_scheme="light")


def cost_of_a_snapshot(page: Any) -> float:
    """Return the milliseconds of the page's thread that a snapshot takes; the median of ten."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.evaluate("""() => {
        window.snapshots = 0;
        new PerformanceObserver((list) => { snapshots += list.getEntries().length; })
            .observe({ entryTypes: ["measure"] });
    }""")

    def spent() -> float:
        found = session.send("Performance.getMetrics")["metrics"]
        return 1000 * sum(float(one["value"]) for one in found if one["name"] in COSTS)

    def drawn(more_than: int = -1) -> int:
        until(lambda: page.evaluate("snapshots") > more_than)
        page.wait_for_timeout(100)  # its layout
        return int(page.evaluate("snapshots"))

    costs, count, before = [], drawn(), spent()
    for _ in range(10):
        now, after = drawn(count), spent()
        costs.append((after - before) / (now - count))
        count, before = now, after
    return statistics.median(costs)


def test_a_stream_is_stopped(front: Front, few: list[Any], page: Any) -> None:
    """The button asks once, where it is; then the stream ends for everyone, and that is said."""
    page.goto(front.address)
    expect(page.locator(ROWS)).to_have_count(3)
    row = page.locator(ROWS, has_text="u1")
    stream = row.get_attribute("data-id")
    row.get_by_role("button", name=f"Stop stream {stream}").click()
    picture(page, "dashboard-stop")
    row.get_by_role("button", name=f"Keep stream {stream}").click()
    row.get_by_role("button", name=f"Stop stream {stream}").click()
    assert not few[1].done
    row.get_by_role("button", name=f"Really stop stream {stream}").click()
    expect(row).to_contain_text("stopped")
    expect(page.locator(".status .unseen")).to_contain_text(f"{stream} of model paced is stopped")
    until(lambda: few[1].finish_reason == "length")
    expect(figure(page, "Streams alive")).to_have_text("2")
    expect(page.locator("#endings")).to_contain_text("Stopped")
    expect(row).to_have_attribute("data-state", "ended")
    page.mouse.move(5, 5)
    page.evaluate("document.activeElement.blur()")
    expect(page.locator(ROWS)).to_have_count(2)


def test_what_others_run_is_shown_too(front: Front, page: Any) -> None:
    """Streams of other gateways, odd states and unknown values are said as what they are."""
    snapshot = front.served.ask(path="/v1/dashboard").json
    stream = {
        **dict.fromkeys(("upstream", "key", "key_name", "tag", "cost_usd", "tokens_per_s")),
        "id": "stm_far",
        "model": "far",
        "user": "=1+1",
        "started": snapshot["now"] - 125,
        "state": "held_up",
        "prompt_tokens": None,
        "completion_tokens": 7,
        "readers": None,
        "first_token_s": None,
        "here": False,
        "stoppable": False,
    }
    odd = {"streams": [stream], "streams_total": 600, "gateways": 3, "workers": 2}
    odd |= {"endings": {"eaten": 2}, "guard_rules": {"email": 5}}
    event = f"event: snapshot\ndata: {json.dumps(snapshot | odd)}\n\n"
    page.route(
        "**/v1/dashboard",
        lambda route: route.fulfill(status=200, body=event, content_type="text/event-stream"),
    )
    page.goto(front.address)
    for words in ("3 gateways", "counts of 2 workers", "the newest 1 of 600", "eaten", "email"):
        expect(page.locator("#dashboard")).to_contain_text(words)
    row = page.locator(ROWS)
    for words in ("=1+1", "2 min 05 s", "? + 7", "held up", "not from here"):
        expect(row).to_contain_text(words)
    expect(row.locator("[data-label=Cost]")).to_have_text("?")
    expect(row.get_by_role("button")).to_have_count(0)


def test_streams_are_sorted_and_filtered(front: Front, few: list[Any], page: Any) -> None:
    """By any column and by any word; the head says by which."""
    page.goto(front.address)
    expect(page.locator(ROWS)).to_have_count(3)
    heads = page.locator("#streams thead th")
    page.get_by_role("button", name="Key or user").click()
    expect(heads.nth(1)).to_have_attribute("aria-sort", "ascending")
    assert [text[:2] for text in page.locator("[data-label='Key or user']").all_inner_texts()] == [
        "u0",
        "u1",
        "u2",
    ]
    page.get_by_role("button", name="Key or user").click()
    expect(heads.nth(1)).to_have_attribute("aria-sort", "descending")
    expect(page.locator(ROWS).first).to_contain_text("u2")
    page.get_by_label("Filter streams").fill("u1 stage")
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator("#streams-number")).to_have_text("1 of 3 fit")
    page.get_by_label("Filter streams").fill("nobody")
    expect(page.locator("#streams")).to_contain_text("No stream fits this filter.")
    assert all(not one.done for one in few)


def test_an_address_marks_a_stream(front: Front, few: list[Any], page: Any) -> None:
    """`?stream=` behind the view's name marks a row, at once and later."""
    page.goto(front.address)
    expect(page.locator(ROWS)).to_have_count(3)
    one, other = (page.locator(ROWS).nth(place).get_attribute("data-id") for place in (1, 2))
    page.goto(f"{front.address}?stream={one}")
    expect(page.locator(f"[data-id={one}]")).to_have_attribute("aria-current", "true")
    page.goto(f"{front.address}?stream={other}")
    expect(page.locator(f"{ROWS}[aria-current]")).to_have_count(1)
    assert few


def reported(front: Front, group: str) -> Any:
    """Return what the gateway says of usage."""
    return front.served.ask(path=f"/v1/usage?group_by={group}").json


def test_usage_agrees_with_the_report(front: Front, page: Any) -> None:
    """Legend, table and today's figures say what `GET /v1/usage` says; an unknown cost is no 0."""
    page.goto(front.address)
    legend = page.locator("#usage .legend li")
    expect(legend.first).to_contain_text("paced")
    page.locator("#usage label", has_text="Tokens").click()
    report = reported(front, "model")
    total = report["total"]
    used = {one["model"]: one["prompt_tokens"] + one["completion_tokens"] for one in report["data"]}
    for name, tokens in used.items():
        expect(legend.filter(has_text=name).locator(".value").last).to_have_text(f"{tokens:,}")
    all_tokens = f"{sum(used.values()):,}"
    expect(page.locator("#usage .when")).to_have_text(f"In the last 24 hours: {all_tokens}")
    page.locator("#usage summary").click()
    expect(page.locator("#usage table tbody tr").last).to_contain_text(all_tokens)
    expect(page.locator(".tile", has_text="Tokens today")).to_contain_text("written")
    page.locator("#usage label", has_text="Money").click()
    expect(legend.filter(has_text="unpriced").locator(".value")).to_have_text("?")
    expect(page.locator("#usage [role=img]")).to_have_attribute(
        "aria-label", re.compile("^Money by")
    )
    page.locator("#usage label", has_text="Streams").click()
    expect(legend.filter(has_text="unpriced").locator(".value")).to_have_text("1")
    page.locator("#usage label", has_text="Upstream").click()
    expect(legend).to_have_count(1)
    expect(legend.first).to_contain_text(f"stage{total['streams']}")


def test_what_is_hovered_stands_in_the_legend(front: Front, page: Any) -> None:
    """Over a bar the legend tells that bar; the plot is redrawn in another theme's colours."""
    page.goto(front.address)
    plot = page.locator("#usage .u-over")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + box["height"] / 2)
    expect(page.locator("#usage .when")).to_contain_text("\N{EN DASH}")
    canvas = "document.querySelector('#usage canvas').toDataURL()"
    light = page.evaluate(canvas)
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(canvas) != light
    for style, length in (("Lines", "7 d"), ("Stacked", "30 d"), ("Lines", "1 h")):
        page.locator("#usage label", has_text=style).click()
        page.get_by_text(length, exact=True).click()
        expect(page.locator("#usage .legend li").first).to_be_visible()
    picture(page, "dashboard-lines-dark")


def test_csv_is_what_is_shown(front: Front, page: Any) -> None:
    """The file has the rows of the plot, as `deltaweir usage --csv` would write them."""
    formula = "=1+1"
    front.ask(7, user="x", model="paced", deltaweir={"tag": formula})
    page.goto(front.address)
    expect(page.locator("#usage .legend li").first).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download CSV").click()
    file = downloading.value
    assert file.suggested_filename == "deltaweir-usage-24h-by-model.csv"
    rows = list(csv.DictReader(io.StringIO(Path(file.path()).read_text())))
    report = reported(front, "hour,model")["data"]
    assert {(row["hour"], row["model"]): row["streams"] for row in rows} == {
        (row["hour"], row["model"]): str(row["streams"]) for row in report
    }
    costs = [row["cost_usd"] for row in rows if row["model"] == "unpriced"]
    assert costs == [""]


def test_distributions_and_endings_are_shown(front: Front, page: Any) -> None:
    """Percentiles are said to be estimates, and each plot tells itself in words."""
    page.goto(front.address)
    for part in ("#first-token", "#gaps"):
        expect(page.locator(f"{part} [role=img]")).to_have_attribute(
            "aria-label", re.compile("p99 about")
        )
        expect(page.locator(part)).to_contain_text("estimated")
        page.locator(f"{part} summary").click()
        expect(page.locator(f"{part} table")).to_be_visible()
    expect(page.locator("#endings")).to_contain_text("Complete")
    expect(page.locator("#upstreams tbody tr")).to_contain_text("stage")
    assert serious(page) == []


def keys(served: Served, *arguments: str) -> str:
    """Make a key, as an operator does."""
    command = [sys.executable, "-m", "deltaweir", "keys", "create", *arguments]
    done = subprocess.run(
        [*command, "--config", served.config],
        capture_output=True,
        text=True,
        check=True,
        cwd=served.folder,
    )
    return done.stdout.strip()


def test_keys_decide_who_sees_it(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    """A key without rights shows the conversation alone; an administrator's shows whose is what."""
    with Crowd() as crowd:
        config = f'[server]\nauth = "keys"\n{tables(crowd)}'
        with Served(tmp_path, config) as served:
            front = Front(crowd, served)
            admin, plain = keys(served, "--name", "root", "--admin"), keys(served, "--name", "bob")
            front.ask(1, key=plain)
            crowd.read(served.address, Play(2, 4000, pause_s=0.05), key=plain)
            page = open_page(front.address)
            page.get_by_label("Key for this server").fill(plain)
            page.get_by_role("button", name="Open").click()
            expect(page.get_by_label("Message")).to_be_visible()
            expect(page.get_by_role("link", name="Dashboard")).to_be_hidden()
            other = open_page(front.address)
            other.get_by_label("Key for this server").fill(admin)
            other.get_by_role("button", name="Open").click()
            expect(other.locator(ROWS)).to_contain_text("bob")
            other.get_by_text("Key", exact=True).last.click()
            expect(other.locator("#usage .legend li").first).to_contain_text("bob")
            other.route("**/v1/dashboard", _forbidden)
            other.reload()
            expect(other.locator(".no-entry")).to_contain_text("keys create --name you --admin")
            state(other, "not allowed")
            other.unroute("**/v1/dashboard")
            other.get_by_role("button", name="Try again").click()
            state(other, "live")
            crowd.leave()


def _forbidden(route: Any) -> None:
    error = {"message": "This key is no administrator's.", "code": "not_admin"}
    route.fulfill(status=403, body=json.dumps({"error": error}), content_type="application/json")


def test_it_comes_back_to_a_gateway_that_was_restarted(tmp_path: Path, page: Any) -> None:
    """It says that it reconnects, and then that it is live."""
    with Crowd() as crowd:
        with Served(tmp_path, tables(crowd)) as served:
            page.goto(Front(crowd, served).address)
            state(page, "live")
            port = served.address[1]
        state(page, "reconnecting")
        picture(page, "dashboard-reconnecting")
        with Served(tmp_path, tables(crowd), port=port) as served:
            state(page, "live")
            page.goto("about:blank")


def test_an_upstream_that_is_down_is_named(tmp_path: Path, page: Any) -> None:
    """By a word, with its failures and when it is asked again; also at the top."""
    with Crowd() as crowd:
        dead = upstream("dead", f"http://127.0.0.1:{unused_port()}/v1", 'api_key = "none"')
        config = f"{tables(crowd)}\n{dead}\n{model('lost', ['dead'])}"
        with Served(tmp_path, config) as served:
            front = Front(crowd, served)
            page.goto(front.address)
            row = page.locator("#upstreams tbody tr", has_text="dead")
            expect(row).to_contain_text("up")
            for number in range(12):
                front.ask(number, model="lost")
            expect(row.locator("[data-label=State]")).to_have_text("down")
            expect(row.locator("[data-label=Retry]")).to_contain_text("in")
            page.get_by_role("link", name="dead is down").click()
            expect(row).to_be_in_viewport()
            picture(page, "dashboard-down")
            page.goto("about:blank")


def test_nothing_is_fetched_where_nobody_looks(front: Front, page: Any) -> None:
    """Not while paused, not in a hidden tab, not while the other view is shown."""
    asked: list[str] = []
    page.goto(front.address)
    state(page, "live")
    expect(page.locator("#usage .legend li").first).to_be_visible()
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Pause").click()
    state(page, "paused")
    shown = page.locator(".tile").first.inner_text()
    page.wait_for_timeout(1500)
    assert page.locator(".tile").first.inner_text() == shown
    page.get_by_role("button", name="Pause").click()
    state(page, "live")
    hide = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable:"
    hide += " true }); document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, arg=True)
    state(page, "paused")
    page.evaluate(hide, arg=False)
    state(page, "live")
    assert [one.rpartition("/")[2] for one in asked] == ["dashboard", "dashboard"]
    page.get_by_role("link", name="Chat").click()
    expect(page.get_by_label("Message")).to_be_visible()
    asked.clear()
    page.wait_for_timeout(1500)
    assert [one for one in asked if "/v1/dashboard" in one or "/v1/usage" in one] == []
    page.get_by_role("link", name="Dashboard").click()
    state(page, "live")


def test_keys_are_enough(front: Front, few: list[Any], page: Any) -> None:
    """A stream is found, kept by Escape, and stopped without a mouse; the focus is never lost."""
    page.goto(front.address)
    expect(page.locator(ROWS)).to_have_count(3)
    page.get_by_label("Filter streams").focus()
    page.keyboard.type("u2")
    expect(page.locator(ROWS)).to_have_count(1)
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Stop":
            break
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "Stop"
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator(ROWS)).to_contain_text("stopped")
    until(lambda: few[2].finish_reason == "length")
    page.wait_for_timeout(1200)
    assert page.evaluate("document.activeElement.closest('tr') !== null")
    page.keyboard.press("Tab")
    page.get_by_role("radio", name="Money").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Tokens")).to_be_checked()


def test_a_phone_shows_cards(crowded: Front, open_page: Callable[..., Any]) -> None:
    """Nothing is wider than the window, and each stream can be read and stopped."""
    page = open_page(crowded.address, viewport=PHONE, reduced_motion="reduce")
    expect(page.locator(ROWS)).to_have_count(MANY)
    assert sideways(page) == 0
    assert serious(page) == []
    page.get_by_label("Sort streams by").select_option("Cost")
    stream = page.locator(ROWS).nth(1).get_attribute("data-id")
    row = page.locator(f"[data-id={stream}]")
    row.get_by_role("button").click()
    expect(row.get_by_role("button")).to_have_count(2)
    picture(page, "dashboard-phone-many")
    page.locator("#usage").scroll_into_view_if_needed()
    picture(page, "dashboard-phone-usage")
    assert (LIVE / "pictures/dashboard-phone-usage.png").exists()
