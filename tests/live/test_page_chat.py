"""The page's conversation in a real browser, in front of a gateway with a scripted provider."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.conftest import until
from tests.live.browsing import PHONE, Front, expect, fronted, picture, spoken, words
from tests.live.cutting import Cutting

from deltaweir.testing import Drop, Pause, chat_events, error_answer, error_event, stream_answer

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

MAIL = (
    "Write to jane.doe@example.com, or in code:\n\n```python\nmail = 'bob@example.com'\n```\n\nBye."
)
UNTOLD = "stopping: the server was not told yet"
LONG = " ".join(f"word{number}" for number in range(60))
RICH = """# Longest word

Here is **a function** that finds the *longest* word:

```python
def longest_word(text: str) -> str:
    return max(text.split(), key=len, default="")
```

1. It splits the text.
2. It takes the longest.

| Version | Year | Transport |
|:--------|-----:|-----------|
| HTTP/1.1 | 1997 | TCP |
| HTTP/3 | 2022 | QUIC |

> A quote with a [link](https://example.com/a?b=c) and ![a cat](https://example.com/cat.png).
"""


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway that all tests here share which do not stop it."""
    yield from fronted(tmp_path_factory.mktemp("gateway"))


def ask(page: Any, prompt: str) -> None:
    """Write a prompt and press Enter."""
    page.get_by_label("Message").fill(prompt)
    page.get_by_label("Message").press("Enter")


def answer(page: Any) -> Any:
    """Return the text of the last answer."""
    return page.locator(".answer-text").last


def figures(page: Any) -> Any:
    """Return the line below the last answer."""
    return page.locator(".stats").last


def ended(page: Any) -> None:
    """Wait until no answer is on its way."""
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.locator(".turn.streaming")).to_have_count(0)


def held(front: Front, prompt: str, first: str, then: str, **options: Any) -> Pause:
    """Let the provider wait between two halves of an answer; return what lets it go on."""
    pause = Pause()
    events = chat_events(*words(first), *words(then), **options)
    at = 1 + len(words(first))
    front.speaker.answers[prompt] = stream_answer([*events[:at], pause, *events[at:]])
    return pause


def test_an_empty_page_invites(front: Front, page: Any) -> None:
    """One textarea, three examples, a model: an example is sent when it is pressed."""
    page.goto(front.address)
    expect(page.locator("textarea")).to_have_count(1)
    expect(page.locator(".example")).to_have_count(3)
    expect(page.get_by_label("Model")).to_have_value("talker")
    picture(page, "empty")
    page.locator(".example").first.click()
    expect(answer(page)).to_contain_text("You said: Write a Python function")


def test_text_arrives_while_it_is_written(front: Front, page: Any) -> None:
    """Half an answer stands there with its tokens; the whole has cost, times and gaps beside."""
    pause = held(front, "half", "The first half", ", and the second.", usage=(1000, 200))
    page.goto(front.address)
    ask(page, "half")
    expect(answer(page)).to_have_text("The first half")
    expect(figures(page)).to_contain_text(re.compile(r"^\d+ tok"))
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    picture(page, "streaming")
    pause.release()
    expect(answer(page)).to_have_text("The first half, and the second.")
    expect(figures(page)).to_contain_text("200 tok")
    expect(figures(page)).to_contain_text("$0.0014")
    expect(figures(page)).to_contain_text(re.compile(r"first [\d.]+ m?s"))
    expect(page.locator(".spark").last).to_have_attribute(
        "aria-label", re.compile(r"median .* longest")
    )
    expect(page.locator("#said")).to_contain_text("ended")


def test_stop_ends_it_everywhere(front: Front, page: Any) -> None:
    """After Stop the text stays as it is, and the provider's connection is closed."""
    held(front, "stop me", "It goes on", " and on.")
    page.goto(front.address)
    ask(page, "stop me")
    expect(answer(page)).to_have_text("It goes on")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".ending").last).to_have_text("stopped")
    assert front.speaker.wait_gone(front.speaker.requests[-1].connection)
    ended(page)
    expect(figures(page)).to_contain_text("$")
    expect(answer(page)).to_have_text("It goes on")


def test_stop_before_the_first_word(front: Front, page: Any) -> None:
    """The page is free at once; the provider is told as soon as the stream has a name."""
    pause = Pause()
    events = chat_events(*words(LONG))
    later = Pause()
    front.speaker.answers["early"] = stream_answer([events[0], pause, *events[1:3], later])
    page.goto(front.address)
    ask(page, "early")
    expect(page.get_by_text("Waiting for the first word")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".ending").last).to_have_text(UNTOLD)
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    pause.release()
    assert front.speaker.wait_gone(front.speaker.requests[-1].connection)
    expect(page.locator(".ending").last).to_have_text("stopped")
    expect(answer(page)).to_have_text("")


def test_a_stop_that_the_server_has_not_heard(front: Front, page: Any) -> None:
    """Without a network it says so, its cost is unknown, and the server is told afterwards."""
    held(front, "far away", "It goes on", " and on.")
    with Cutting(front.served.address[1], events=None) as proxy:
        page.goto(f"http://127.0.0.1:{proxy.port}/")
        ask(page, "far away")
        expect(answer(page)).to_have_text("It goes on")
        page.context.set_offline(True)
        proxy.cut()
        expect(page.locator(".waiting").last).to_contain_text("Connection lost")
        page.get_by_role("button", name="Stop").click()
        expect(page.locator(".ending").last).to_have_text(UNTOLD)
        expect(figures(page)).to_contain_text("cost unknown")
        page.context.set_offline(False)
        expect(page.locator(".ending").last).to_have_text("stopped")
        assert front.speaker.wait_gone(front.speaker.requests[-1].connection)
        expect(figures(page)).to_contain_text("$")


def test_a_page_closed_before_the_answer_began(front: Front, page: Any) -> None:
    """Nobody can ask for it any more: that it may have gone on is said, and no cost is made up."""
    pause = Pause()
    front.speaker.answers["too early"] = stream_answer([pause, *chat_events("Unseen.")])
    page.goto(front.address)
    ask(page, "too early")
    expect(page.get_by_text("Waiting for the first word")).to_be_visible()
    page.reload()
    expect(page.locator(".ending").last).to_contain_text("may have gone on with it, at a cost")
    expect(figures(page)).to_contain_text("cost unknown")
    pause.release()


def test_a_free_name_where_a_pattern_allows_it(tmp_path: Path, page: Any) -> None:
    """Beside the listed models any name that fits can be typed, and is asked for."""
    pattern = '[[models]]\nname = "open/*"\nupstreams = ["stage"]\n'
    for front in fronted(tmp_path, more=pattern):
        page.goto(front.address)
        page.get_by_label("Model").select_option("another …")
        name = page.get_by_label("Its full name")
        expect(name).to_be_focused()
        name.fill("open/large-1")
        name.blur()
        ask(page, "hello")
        expect(answer(page)).to_have_text("You said: hello")
        expect(page.locator(".answer-model")).to_have_text("open/large-1")
        assert front.speaker.asked[-1]["model"] == "large-1"
        ended(page)
        page.reload()
        expect(name).to_have_value("open/large-1")


def test_escape_stops_too(front: Front, page: Any) -> None:
    """The key Escape does the same, from where the message is written."""
    held(front, "escape", "It goes on", " and on.")
    page.goto(front.address)
    ask(page, "escape")
    expect(answer(page)).to_have_text("It goes on")
    page.keyboard.press("Escape")
    expect(page.locator(".ending").last).to_have_text("stopped")


def test_a_reload_in_mid_stream_loses_and_doubles_nothing(front: Front, page: Any) -> None:
    """What was there is there again at once, and the rest follows; twice."""
    first, second, third = "One two ", "three four ", "five six."
    one, two = Pause(), Pause()
    events = chat_events(*words(first), *words(second), *words(third), usage=(3, 6))
    at = 1 + len(words(first))
    later = at + len(words(second))
    front.speaker.answers["reload"] = stream_answer(
        [*events[:at], one, *events[at:later], two, *events[later:]]
    )
    page.goto(front.address)
    ask(page, "reload")
    expect(answer(page)).to_have_text(first.strip())
    page.reload()
    expect(answer(page)).to_have_text(first.strip())
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    one.release()
    expect(answer(page)).to_have_text((first + second).strip())
    page.reload()
    two.release()
    expect(answer(page)).to_have_text(first + second + third)
    ended(page)
    expect(figures(page)).to_contain_text("6 tok")
    assert [one["messages"][-1]["content"] for one in front.speaker.asked].count("reload") == 1


@pytest.mark.parametrize("reset", [True, False])
def test_a_network_that_breaks_again_and_again(front: Front, page: Any, reset: bool) -> None:
    """A proxy cuts each connection after two events; the text comes out whole."""
    text = " ".join(f"w{number}" for number in range(9))
    front.speaker.say("cut", text, usage=(3, 18))
    with Cutting(front.served.address[1], events=2, reset=reset) as proxy:
        page.goto(f"http://127.0.0.1:{proxy.port}/")
        ask(page, "cut")
        expect(answer(page)).to_have_text(text, timeout=60_000)
        ended(page)
        expect(figures(page)).to_contain_text("18 tok")
        assert proxy.cuts > 3


def test_without_a_network_it_waits_and_goes_on(front: Front, page: Any) -> None:
    """While the browser is offline the page says so; once it is back, the rest follows."""
    pause = held(front, "offline", "Before the tunnel", ", and behind it.", usage=(3, 8))
    with Cutting(front.served.address[1], events=None) as proxy:
        page.goto(f"http://127.0.0.1:{proxy.port}/")
        ask(page, "offline")
        expect(answer(page)).to_have_text("Before the tunnel")
        page.context.set_offline(True)
        proxy.cut()
        expect(page.locator(".waiting").last).to_contain_text("Connection lost")
        picture(page, "offline")
        pause.release()
        page.context.set_offline(False)
        expect(answer(page)).to_have_text("Before the tunnel, and behind it.")
        ended(page)


def test_a_server_that_forgot_is_told_honestly(tmp_path: Path, page: Any) -> None:
    """After a restart the server knows the stream no more: what came is kept, and said so."""
    for front in fronted(tmp_path):
        held(front, "forget", "All that came", " and more")
        page.goto(front.address)
        ask(page, "forget")
        expect(answer(page)).to_have_text("All that came")
        page.route(
            "**/v1/streams/**",
            lambda route: route.fulfill(
                status=404, json={"error": {"message": "no", "code": "stream_not_found"}}
            ),
        )
        page.reload()
        expect(page.locator(".ending").last).to_contain_text("does not know this stream any more")
        expect(answer(page)).to_have_text("All that came")


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_between_loses_nothing(front: Front, page: Any, status: int) -> None:
    """What stands before the gateway knows nothing of its streams: reading on is tried again."""
    pause = held(front, "refused once", "Before", " and behind.")
    page.goto(front.address)
    ask(page, "refused once")
    expect(answer(page)).to_have_text("Before")
    page.route(
        "**/v1/streams/**", lambda route: route.fulfill(status=status, body="<h1>no</h1>"), times=1
    )
    page.reload()
    expect(page.locator(".waiting").last).to_contain_text("Connection lost")
    pause.release()
    expect(answer(page)).to_have_text("Before and behind.")
    ended(page)


def test_what_was_lost_is_read_on(front: Front, page: Any) -> None:
    """After some minutes in vain a person is asked; a long sleep before does not count."""
    pause = held(front, "long away", "Before", " and behind.")
    page.clock.install()
    page.goto(front.address)
    ask(page, "long away")
    page.clock.run_for(1000)
    expect(answer(page)).to_have_text("Before")
    page.route("**/v1/streams/**", lambda route: route.abort())
    page.reload()
    lost = page.locator(".waiting").last
    expect(lost).to_contain_text("Connection lost")
    page.clock.fast_forward("20:00")
    expect(lost).to_contain_text("Connection lost")
    read_on = page.get_by_role("button", name="Read on")
    for _ in range(60):
        page.clock.run_for(8000)
        page.wait_for_timeout(20)
        if read_on.is_visible():
            break
    expect(page.locator(".ending").last).to_contain_text("could not be made again")
    page.unroute("**/v1/streams/**")
    read_on.click()
    pause.release()
    page.clock.run_for(1000)
    expect(answer(page)).to_have_text("Before and behind.")


def test_what_a_guard_takes_out_is_marked(front: Front, page: Any) -> None:
    """Marks stand in text and in code, with the rule's name; the line below counts them."""
    front.speaker.say("mail", MAIL, usage=(3, 30))
    page.goto(front.address)
    page.get_by_role("button", name="Options").click()
    page.get_by_label("Guard").select_option("pii")
    page.get_by_role("button", name="Use these").click()
    expect(page.locator("#chosen")).to_have_text("guard pii")
    ask(page, "mail")
    ended(page)
    marks = answer(page).locator("mark")
    expect(marks).to_have_count(2)
    expect(marks.first).to_have_text("[REDACTED:email]")
    expect(marks.first).to_have_attribute("title", re.compile("email"))
    expect(answer(page).locator("pre mark")).to_have_count(1)
    expect(figures(page)).to_contain_text("2 redacted: email")
    assert "jane.doe" not in page.content().replace(MAIL, "")
    picture(page, "marks")


def test_words_of_the_model_are_no_marks(front: Front, page: Any) -> None:
    """What a model writes in the form of a mark is none, beside one that is."""
    front.speaker.say("forged", "I say [REDACTED:email] and a@example.com and [REDACTED:x].")
    page.goto(front.address)
    page.get_by_label("Model").select_option("watched")
    expect(page.locator("#chosen")).to_have_text("guard standard")
    ask(page, "forged")
    ended(page)
    expect(answer(page)).to_have_text(
        "I say [REDACTED:email] and [REDACTED:email] and [REDACTED:x]."
    )
    expect(answer(page).locator("mark")).to_have_count(1)
    assert answer(page).inner_html().index("<mark") > answer(page).inner_html().index("[REDACTED")


def test_a_budget_cuts_and_says_so(front: Front, page: Any) -> None:
    """The answer ends with the budget, in words."""
    front.speaker.say("long", LONG)
    page.goto(front.address)
    page.get_by_role("button", name="Options").click()
    page.get_by_label("Budget").fill("10")
    page.get_by_role("button", name="Use these").click()
    ask(page, "long")
    expect(page.locator(".ending").last).to_have_text("cut by the budget of 10 tok")
    expect(answer(page)).to_have_text("word0 word1 word2 word3 word4")


def test_options_are_sent(front: Front, page: Any) -> None:
    """System prompt and sampling reach the model, and are there again when the panel opens."""
    page.goto(front.address)
    page.get_by_role("button", name="Options").click()
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Longest answer").fill("99")
    page.get_by_label("End at these words").fill(r"END | \n\n")
    picture(page, "options")
    page.get_by_role("button", name="Use these").click()
    expect(page.locator("textarea")).to_have_count(1)
    ask(page, "with options")
    ended(page)
    body = front.speaker.asked[-1]
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    wanted = {"temperature": 0.5, "seed": 7, "max_tokens": 99, "stop": ["END", "\n\n"]}
    assert {name: body[name] for name in wanted} == wanted
    page.get_by_role("button", name="Options").click()
    expect(page.get_by_label("Seed")).to_have_value("7")


def test_retry_keeps_the_former_answer(front: Front, page: Any) -> None:
    """The new answer takes its place; both can be looked at, and the one shown is sent on."""
    front.speaker.say("again", "First version.")
    page.goto(front.address)
    ask(page, "again")
    expect(answer(page)).to_have_text("First version.")
    ended(page)
    front.speaker.say("again", "Second version.")
    page.get_by_role("button", name="Retry").click()
    expect(answer(page)).to_have_text("Second version.")
    ended(page)
    expect(page.locator(".version")).to_have_text("2/2")
    page.get_by_role("button", name="Earlier version").click()
    expect(answer(page)).to_have_text("First version.")
    expect(page.locator(".version")).to_have_text("1/2")
    ask(page, "go on")
    ended(page)
    said = [one["content"] for one in front.speaker.asked[-1]["messages"]]
    assert said == ["again", "First version.", "go on"]


def test_the_last_question_can_be_asked_anew(front: Front, page: Any) -> None:
    """The question goes back to where it is written; the former one stays beside it."""
    page.goto(front.address)
    ask(page, "with a tpyo")
    expect(answer(page)).to_contain_text("tpyo")
    ended(page)
    page.get_by_role("button", name="Edit the question").click()
    expect(page.get_by_label("Message")).to_have_value("with a tpyo")
    ask(page, "with a typo")
    expect(answer(page)).to_have_text("You said: with a typo")
    expect(page.locator(".question-text")).to_have_text("with a typo")
    ended(page)
    page.get_by_role("button", name="Earlier version").click()
    expect(page.locator(".question-text")).to_have_text("with a tpyo")


@pytest.mark.parametrize(
    ("steps", "words_", "shown"),
    [
        (error_answer(400, "bad words"), "not answered: .*bad words", ""),
        (
            [*stream_answer(chat_events("Half", finish=None, done=False), end=False), Drop()],
            "the provider broke off: ",
            "Half",
        ),
        (
            stream_answer([*chat_events("Half", finish=None, done=False), error_event("boom")]),
            "the provider broke off: boom",
            "Half",
        ),
        (spoken("Half", finish="length"), "cut: the longest answer is reached", "Half"),
        (spoken("Half", finish="content_filter"), "the provider's filter", "Half"),
    ],
    ids=["refused", "dies", "fails", "longest", "filter"],
)
def test_a_bad_end_is_said(front: Front, page: Any, steps: Any, words_: str, shown: str) -> None:
    """What came stays, and how it ended stands below it."""
    front.speaker.answers["bad end"] = steps
    page.goto(front.address)
    ask(page, "bad end")
    expect(page.locator(".ending").last).to_have_text(re.compile(words_))
    expect(answer(page)).to_have_text(shown)
    ended(page)
    page.get_by_role("button", name="Retry").click()


def test_reasoning_is_folded(front: Front, page: Any) -> None:
    """What a model thinks stands in a closed box above its answer."""
    events = chat_events("The answer.")
    assert isinstance(events[1], bytes)
    thought = events[1].replace(b'"content":"The answer."', b'"reasoning_content":"Hm, hm."')
    front.speaker.answers["think"] = stream_answer([events[0], thought, *events[1:]])
    page.goto(front.address)
    ask(page, "think")
    expect(answer(page)).to_have_text("The answer.")
    expect(page.get_by_text("Hm, hm.")).to_be_hidden()
    page.get_by_text("Reasoning").click()
    expect(page.get_by_text("Hm, hm.")).to_be_visible()


def test_markdown_is_shown(front: Front, page: Any) -> None:
    """Code with its language, lists, tables, links that leave nothing behind, no images."""
    front.speaker.say("rich", RICH)
    page.goto(front.address)
    ask(page, "rich")
    ended(page)
    shown = answer(page)
    expect(shown.locator("strong")).to_have_text("a function")
    expect(shown.locator(".code-head span")).to_have_text("python")
    expect(shown.locator("td[align=right]").first).to_have_text("1997")
    expect(shown.locator("ol > li")).to_have_count(2)
    link = shown.get_by_role("link", name="link", exact=True)
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(link).to_have_attribute("target", "_blank")
    expect(shown.locator("img")).to_have_count(0)
    expect(shown.get_by_role("link", name="a cat")).to_have_attribute(
        "href", "https://example.com/cat.png"
    )
    page.get_by_role("button", name="Copy this code").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Copied")).to_be_visible()
    picture(page, "rich-light")
    page.emulate_media(color_scheme="dark")
    picture(page, "rich-dark")


def test_conversations_are_kept(front: Front, page: Any) -> None:
    """They are listed by their first question, opened, renamed, deleted, and brought back."""
    page.goto(front.address)
    for prompt in ("about rivers", "about hills"):
        page.get_by_role("button", name="New conversation").click()
        ask(page, prompt)
        expect(answer(page)).to_contain_text(prompt)
        ended(page)
    side = page.get_by_role("complementary")
    expect(side.locator(".open")).to_have_text(["about hills", "about rivers"])
    side.get_by_role("link", name="about rivers").click()
    expect(answer(page)).to_have_text("You said: about rivers")
    page.reload()
    expect(answer(page)).to_have_text("You said: about rivers")
    side.locator("li").nth(1).hover()
    side.locator("li").nth(1).get_by_role("button", name="Rename").click()
    side.get_by_role("textbox", name="New name of about rivers").fill("On water")
    page.keyboard.press("Enter")
    expect(side.locator(".open").nth(1)).to_have_text("On water")
    side.locator("li").nth(1).get_by_role("button", name="Delete").click()
    expect(side.locator(".open")).to_have_text(["about hills"])
    expect(page.locator("#empty")).to_be_visible()
    side.get_by_role("button", name="Undo").click()
    expect(side.locator(".open")).to_have_text(["about hills", "On water"])
    expect(answer(page)).to_have_text("You said: about rivers")


@pytest.mark.parametrize("kind", ["Markdown", "JSON"])
def test_a_conversation_is_exported(front: Front, page: Any, kind: str) -> None:
    """As a file to read, or with all that is known."""
    page.goto(front.address)
    ask(page, "export me")
    ended(page)
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as found:
        page.get_by_role("button", name=kind).click()
    text = Path(found.value.path()).read_text()
    if kind == "Markdown":
        assert found.value.suggested_filename == "export-me.md"
        assert text.startswith(
            "# export me\n\n## You\n\nexport me\n\n## talker\n\nYou said: export me"
        )
    else:
        kept = json.loads(text)
        assert kept["turns"][0]["versions"][0]["text"] == "You said: export me"


def test_two_tabs_share_what_they_have(
    front: Front, page: Any, open_page: Callable[..., Any]
) -> None:
    """Both ask in one conversation; each sees the other's turn, and none is lost."""
    page.goto(front.address)
    ask(page, "from the first")
    ended(page)
    other = open_page(page.url, beside=page)
    expect(answer(other)).to_have_text("You said: from the first")
    pause = held(front, "slow", "Begun", " and ended.")
    ask(page, "slow")
    expect(answer(page)).to_have_text("Begun")
    expect(answer(other)).to_have_text("Begun")
    ask_elsewhere = other.get_by_role("button", name="Stop")
    expect(ask_elsewhere).to_be_visible()
    pause.release()
    expect(answer(other)).to_have_text("Begun and ended.")
    ended(other)
    ask(other, "from the second")
    expect(answer(page)).to_have_text("You said: from the second")
    page.reload()
    expect(page.locator(".question-text")).to_have_text(
        ["from the first", "slow", "from the second"]
    )


def test_a_closed_tab_is_taken_over(front: Front, page: Any, open_page: Callable[..., Any]) -> None:
    """When the tab that reads an answer is closed, the other one reads on."""
    pause = held(front, "handed over", "Begun", " and ended.")
    page.goto(front.address)
    ask(page, "handed over")
    expect(answer(page)).to_have_text("Begun")
    other = open_page(page.url, beside=page)
    expect(answer(other)).to_have_text("Begun")
    page.close()
    pause.release()
    expect(answer(other)).to_have_text("Begun and ended.")
    ended(other)


def test_a_deleted_conversation_is_answered_no_more(front: Front, page: Any) -> None:
    """Though another one is open."""
    held(front, "unwanted", "Before", " and on.")
    page.goto(front.address)
    ask(page, "unwanted")
    expect(answer(page)).to_have_text("Before")
    asked = front.speaker.requests[-1].connection
    page.get_by_role("button", name="New conversation").click()
    item = page.locator(".conversations li")
    item.hover()
    item.get_by_role("button", name="Delete").click()
    assert front.speaker.wait_gone(asked)
    page.get_by_role("button", name="Undo").click()
    item.locator(".open").click()
    expect(answer(page)).to_have_text("Before")
    expect(page.locator(".ending").last).to_have_text("stopped")


def test_a_deleted_conversation_is_stopped_after_a_reload(front: Front, page: Any) -> None:
    """Though the server could not be told when it was deleted, and nothing of it is kept."""
    held(front, "unheard of", "Before", " and on.")
    page.goto(front.address)
    ask(page, "unheard of")
    expect(answer(page)).to_have_text("Before")
    asked = front.speaker.requests[-1].connection
    page.route("**/v1/streams/**", lambda route: route.abort())
    page.locator(".conversations li").hover()
    with page.expect_event("requestfailed", lambda one: one.method == "DELETE"):
        page.get_by_role("button", name="Delete").click()
    page.reload()
    expect(page.locator("#empty")).to_be_visible()
    page.unroute("**/v1/streams/**")
    assert front.speaker.wait_gone(asked)
    expect(page.locator(".conversations li")).to_have_count(0)
    kept = "Object.keys(localStorage).filter((name) => name.endsWith('untold')).length"
    until(lambda: page.evaluate(kept) == 0)


def test_deleted_in_one_tab_and_gone_on_with_in_another(
    front: Front, page: Any, open_page: Callable[..., Any]
) -> None:
    """The other tab says so; who asks on there keeps all that it shows."""
    page.goto(front.address)
    ask(page, "first")
    ended(page)
    other = open_page(page.url, beside=page)
    expect(answer(other)).to_have_text("You said: first")
    page.locator(".conversations li").hover()
    page.locator(".conversations li").get_by_role("button", name="Delete").click()
    expect(other.locator("#notice")).to_contain_text("was deleted in another tab")
    ask(other, "second")
    ended(other)
    expect(other.locator("#notice")).to_be_hidden()
    other.reload()
    expect(other.locator(".question-text")).to_have_text(["first", "second"])


def test_a_browser_that_ceases_to_keep(front: Front, page: Any) -> None:
    """When its database dies the page says so, and goes on without."""
    page.goto(front.address)
    ask(page, "kept")
    ended(page)
    page.evaluate(
        "IDBDatabase.prototype.transaction = () => { throw new DOMException('closing', "
        "'InvalidStateError') }; 0"
    )
    ask(page, "not kept")
    expect(answer(page)).to_have_text("You said: not kept")
    expect(page.locator("#notice")).to_contain_text("could not keep")
    page.locator(".conversations li").hover()
    page.locator(".conversations li").get_by_role("button", name="Delete").click()
    expect(page.locator(".turn")).to_have_count(0)


def test_what_is_being_written_outlives_a_reload(front: Front, page: Any) -> None:
    """In its tab; what was sent is not written again."""
    page.goto(front.address)
    area = page.get_by_label("Message")
    expect(area).to_be_focused()
    area.fill("a long question,\nnot sent yet")
    page.reload()
    expect(area).to_have_value("a long question,\nnot sent yet")
    expect(area).to_be_focused()
    # as when a page is left and comes back as it was
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    area.press("Enter")
    expect(answer(page)).to_contain_text("You said: a long question")
    ended(page)
    page.reload()
    expect(answer(page)).to_contain_text("You said: a long question")
    expect(area).to_have_value("")


def test_enter_sends_and_shift_breaks_the_line(front: Front, page: Any) -> None:
    """Enter while an input method composes sends nothing."""
    page.goto(front.address)
    area = page.get_by_label("Message")
    expect(area).to_be_focused()
    area.press_sequentially("one")
    area.press("Shift+Enter")
    area.press_sequentially("two")
    expect(area).to_have_value("one\ntwo")
    area.evaluate(
        "area => area.dispatchEvent(new KeyboardEvent('keydown', "
        "{key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"
    )
    expect(page.locator(".turn")).to_have_count(0)
    area.press("Enter")
    expect(page.locator(".question-text")).to_have_text("one\ntwo")
    expect(area).to_have_value("")


def test_by_keyboard_alone(front: Front, page: Any) -> None:
    """Help, options, a question, a retry, a new conversation: no mouse."""
    page.goto(front.address)
    expect(page.get_by_label("Message")).to_be_focused()
    page.keyboard.type("by keys?")
    expect(page.locator("#help-dialog")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(answer(page)).to_have_text("You said: by keys?")
    ended(page)
    page.locator("#log").focus()
    page.keyboard.press("?")
    expect(page.locator("#help-dialog")).to_be_visible()
    picture(page, "help")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    expect(page.locator(".version")).to_have_text("2/2")
    ended(page)
    page.locator("#log").focus()
    page.keyboard.press("o")
    expect(page.get_by_label("System prompt")).to_be_focused()
    page.keyboard.press("Escape")
    page.locator("#log").focus()
    page.keyboard.press("n")
    expect(page.locator("#empty")).to_be_visible()
    expect(page.get_by_label("Message")).to_be_focused()


def test_who_has_scrolled_away_is_left_alone(front: Front, page: Any) -> None:
    """A button leads back to the newest, and following goes on."""
    pause = held(front, "scroll", "line\n\n" * 80, "end\n\n" * 40)
    page.goto(front.address)
    ask(page, "scroll")
    expect(answer(page).locator("p")).to_have_count(80)
    page.locator("#log").hover()
    page.mouse.wheel(0, -900)
    newest = page.get_by_role("button", name="Newest")
    expect(newest).to_be_visible()
    at = page.locator("#log").evaluate("log => log.scrollTop")
    pause.release()
    expect(answer(page).locator("p")).to_have_count(120)
    assert page.locator("#log").evaluate("log => log.scrollTop") == at
    newest.click()
    expect(newest).to_be_hidden()
    expect(answer(page).get_by_text("end").last).to_be_in_viewport()


def test_on_a_phone(front: Front, open_page: Callable[..., Any]) -> None:
    """No sideways scrolling, the list is a drawer, and writing does not zoom."""
    front.speaker.say("rich", RICH)
    page = open_page(front.address, viewport=PHONE, has_touch=True, is_mobile=True)
    expect(page.get_by_role("complementary")).to_be_hidden()
    ask(page, "rich")
    ended(page)
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= PHONE["width"]
    size = page.get_by_label("Message").evaluate(
        "area => parseFloat(getComputedStyle(area).fontSize)"
    )
    assert size >= 16
    picture(page, "phone")
    page.get_by_role("button", name="Conversations").click()
    expect(page.get_by_role("complementary")).to_be_visible()
    page.wait_for_timeout(250)
    picture(page, "phone-drawer")
    page.get_by_role("button", name="Close the list").click()
    expect(page.get_by_role("complementary")).to_be_hidden()
    page.get_by_role("button", name="Options").click()
    assert page.evaluate(wide) <= PHONE["width"]
    picture(page, "phone-options")


def test_a_theme_is_chosen_and_kept(front: Front, page: Any) -> None:
    """The button goes from the system's to light and dark, and a reload keeps it."""
    ground = "getComputedStyle(document.body).backgroundColor"
    page.goto(front.address)
    page.get_by_role("button", name="Theme").click()
    light = page.evaluate(ground)
    page.get_by_role("button", name="Theme").click()
    dark = page.evaluate(ground)
    assert light != dark
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate(ground) == dark
    picture(page, "empty-dark")


def test_an_edit_stays_in_its_conversation(front: Front, page: Any) -> None:
    """Whoever goes to another conversation edits no more; nothing is asked there in its place."""
    page.goto(front.address)
    ask(page, "question of A")
    ended(page)
    page.get_by_role("button", name="New conversation").click()
    ask(page, "question of B")
    ended(page)
    page.locator(".conversations .open", has_text="question of A").click()
    expect(page.locator(".question-text")).to_have_text("question of A")
    page.get_by_label("Message").fill("a draft")
    page.get_by_role("button", name="Edit the question").click()
    page.get_by_label("Message").fill("A, edited")
    page.locator(".conversations .open", has_text="question of B").click()
    expect(page.locator(".question-text")).to_have_text("question of B")
    expect(page.locator("#editing")).to_be_hidden()
    expect(page.get_by_label("Message")).to_have_value("a draft")
    page.get_by_label("Message").press("Enter")
    expect(page.locator(".question-text")).to_have_text(["question of B", "a draft"])


def test_a_model_that_is_gone_is_not_replaced_unasked(front: Front, page: Any) -> None:
    """The conversation stays readable; what is written stays until a model is chosen."""
    page.goto(front.address)
    page.get_by_label("Model").select_option("watched")
    ask(page, "hello")
    ended(page)
    count = len(front.speaker.asked)
    gone = re.compile(r"/page/settings$")
    page.route(gone, lambda route: route.fulfill(json=without("watched", route.fetch().json())))
    page.reload()
    expect(page.locator("#notice")).to_contain_text("watched is not here any more")
    expect(page.get_by_label("Model")).to_have_value("")
    ask(page, "second")
    expect(page.get_by_label("Message")).to_have_value("second")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#notice")).to_have_text("Choose a model first.")
    assert len(front.speaker.asked) == count
    page.get_by_label("Model").select_option("talker")
    expect(page.locator("#notice")).to_be_hidden()
    page.get_by_label("Message").press("Enter")
    expect(answer(page)).to_have_text("You said: second")


def without(name: str, settings: Any) -> Any:
    """Return the page's settings without a model."""
    return {**settings, "models": [one for one in settings["models"] if one["id"] != name]}


def test_marks_keep_their_rules(front: Front, page: Any) -> None:
    """Also behind a mark that Markdown swallows, such as one in a link's title."""
    front.speaker.say(
        "swallowed",
        'See [here](https://a.example/x "mail jane.doe@example.com") first.\n\n'
        "Then call 4111 1111 1111 1111 please.\n\nAnd write bob@example.com now.",
    )
    page.goto(front.address)
    page.get_by_role("button", name="Options").click()
    page.get_by_label("Guard").select_option("pii")
    page.get_by_role("button", name="Use these").click()
    ask(page, "swallowed")
    ended(page)
    for rule in ("card", "email"):
        mark = answer(page).locator("mark", has_text=rule)
        expect(mark).to_have_attribute("title", f"Taken out by the guard's rule {rule}")


def test_escape_in_the_search_clears_it_alone(front: Front, page: Any) -> None:
    """The answer goes on; with an empty field the same key stops it."""
    page.goto(front.address)
    for number in range(6):
        page.get_by_role("button", name="New conversation").click()
        ask(page, f"c{number}")
        ended(page)
    held(front, "goes on", "It goes on", " and on.")
    ask(page, "goes on")
    expect(answer(page)).to_have_text("It goes on")
    search = page.get_by_label("Search conversations")
    search.fill("c1")
    search.press("Escape")
    expect(search).to_have_value("")
    expect(page.locator(".turn.streaming")).to_have_count(1)
    search.press("Escape")
    expect(page.locator(".ending").last).to_have_text("stopped")
