"""How a text looks on the page: where it begins, where its lines end, what finds no room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.live.browsing import PHONE, Front, expect, fronted, picture

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

ARABIC = (
    "مرحبا بكم في الدرس.\n\n1. واحد\n2. اثنان\n\n> اقتباس\n\n"
    "| عمود | قيمة |\n|---|---|\n| أ | 1 |\n\n"
    "```python\nprint('مرحبا')\n```\n\n# def في العنوان\n\nAnd one in English."
)
WORD = "unbreakable" * 20
WIDE = f"| name | what |\n|---|---|\n| {WORD} | {'some words ' * 12}|\n| short | a |\n"
CODE = (
    'Code:\n\n```python\n"""Two\nlines."""\ndef f():  # why\n    return 1\n```\n\n'
    "- ```js\n  let a = `b`;\n  ```\n"
)
KINDS = ("word", "text", "figure", "comment")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A gateway that all tests here share."""
    yield from fronted(tmp_path_factory.mktemp("gateway"))


def ask(page: Any, front: Front, question: str, said: str) -> Any:
    """Ask, and return the answer's text when it has ended."""
    front.speaker.say(question, said)
    page.goto(front.address)
    page.get_by_label("Message").fill(question)
    page.get_by_label("Message").press("Enter")
    expect(page.locator(".stats").last).to_contain_text("tok")
    expect(page.locator(".turn.streaming")).to_have_count(0)
    return page.locator(".answer-text").last


def styled(part: Any, name: str) -> str:
    """Return a style of an element as it is used."""
    return str(part.evaluate("(one, name) => getComputedStyle(one)[name]", name))


def test_what_is_written_to_the_left_begins_at_the_right(front: Front, page: Any) -> None:
    """Paragraphs, lists, quotes and tables do; code and English ones beside do not."""
    answer = ask(page, front, "اكتب لي درسا", ARABIC)
    for tag in ("ol", "blockquote", "table"):
        assert styled(answer.locator(tag), "direction") == "rtl", tag
    assert styled(answer.locator("p").first, "direction") == "rtl"
    assert styled(page.locator(".question-text"), "direction") == "rtl"
    assert styled(answer.locator("pre"), "direction") == "ltr"
    assert styled(answer.get_by_text("And one in English."), "direction") == "ltr"
    assert styled(answer.locator("blockquote"), "borderRightWidth") == "3px"
    assert styled(answer.locator("td").last, "textAlign") == "right"
    page.get_by_label("Message").fill("وبعد؟")
    assert styled(page.get_by_label("Message"), "direction") == "rtl"
    picture(page, "right-to-left")


def test_lines_end_where_the_model_ended_them(front: Front, page: Any) -> None:
    """A poem's lines stand below each other, as they do in a terminal."""
    answer = ask(page, front, "a haiku", "An old silent pond\nA frog jumps in\nSplash!")
    assert answer.inner_text().split("\n") == ["An old silent pond", "A frog jumps in", "Splash!"]


@pytest.mark.parametrize("options", [{}, {"viewport": PHONE}], ids=["desktop", "phone"])
def test_a_word_without_end_stays_in_its_cell(
    front: Front, open_page: Callable[..., Any], options: dict[str, Any]
) -> None:
    """It is broken there; nothing of it stands on its neighbour."""
    answer = ask(open_page(**options), front, "a wide table", WIDE)
    over = "(cell) => cell.scrollWidth - cell.clientWidth"
    assert [cell.evaluate(over) for cell in answer.locator("td").all()] == [0, 0, 0, 0]
    expect(answer.get_by_text("short")).to_be_visible()


def test_an_empty_answer_is_said_to_be_one(front: Front, page: Any) -> None:
    """Otherwise nothing would tell it from one that is still awaited."""
    ask(page, front, "say nothing", "")
    expect(page.locator(".ending").last).to_have_text("the answer is empty")


def test_code_has_colours(front: Front, page: Any) -> None:
    """By its language, also in a list; nothing of its text is another one for that."""
    answer = ask(page, front, "colours", CODE)
    python, script = answer.locator("code").all()
    assert python.text_content() == '"""Two\nlines."""\ndef f():  # why\n    return 1\n'
    assert python.locator(".code-text").all_text_contents() == ['"""Two', 'lines."""']
    assert python.locator(".code-word").all_text_contents() == ["def", "return"]
    assert python.locator(".code-comment").all_text_contents() == ["# why"]
    assert python.locator(".code-figure").all_text_contents() == ["1"]
    assert script.text_content() == "let a = `b`;\n"
    assert script.locator(".code-text").all_text_contents() == ["`b`"]
    colours = {styled(python.locator(f".code-{kind}").first, "color") for kind in KINDS}
    assert len(colours) == len(KINDS)


def test_a_conversation_is_printed_whole(front: Front, page: Any) -> None:
    """On paper it is as long as it is, and what can only be pressed is not there."""
    ask(page, front, "print me", "\n\n".join(f"Paragraph {number}." for number in range(100)))
    expect(page.get_by_text("Paragraph 99.")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.get_by_label("Message")).to_be_hidden()
    height = page.evaluate("document.documentElement.scrollHeight")
    assert height > 2 * page.viewport_size["height"]


def test_what_is_printed_can_be_read(front: Front, page: Any) -> None:
    """In dark letters though the screen is dark, and with all columns of a table."""
    ask(page, front, "print me in the dark", WIDE)
    columns = "|" + " some words |" * 12
    answer = ask(page, front, "and a wide one", f"{columns}\n{'|---' * 12}|\n{columns}\n")
    page.emulate_media(media="print", color_scheme="dark")
    for theme in (None, "dark"):
        if theme:
            page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
        assert styled(page.locator("body"), "color") == "rgb(28, 31, 33)"
    for box in page.locator(".table-box").all():
        assert box.evaluate("(box) => box.scrollWidth - box.clientWidth") == 0
    expect(answer).to_be_visible()
