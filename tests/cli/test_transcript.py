"""A conversation's messages: in turn, taken back, forgotten, and written out."""

from __future__ import annotations

import json

from deltaweir.cli.transcript import Transcript, Used
from deltaweir.meter.account import Account
from deltaweir.schema.chunk import PartialUsage, Usage

SYSTEM = {"role": "system", "content": "Be terse."}


def said(text: str, role: str = "assistant") -> dict[str, str]:
    """Return a message."""
    return {"role": role, "content": text}


def talked(*texts: str) -> Transcript:
    """Return a conversation of questions and answers in turn."""
    transcript = Transcript("Be terse.")
    for question, answer in zip(texts[::2], texts[1::2], strict=True):
        transcript.asking(question)
        transcript.answered(said(answer))
    return transcript


def test_history() -> None:
    """Each question goes with all that was said; what is forgotten does not."""
    transcript = talked("one", "a", "two", "b")
    assert transcript.asking("three") == [
        SYSTEM,
        said("one", "user"),
        said("a"),
        said("two", "user"),
        said("b"),
        said("three", "user"),
    ]
    transcript.forget()
    assert not transcript.begun
    assert transcript.asking("four") == [SYSTEM, said("four", "user")]


def test_a_question_without_an_answer_is_forgotten() -> None:
    """The next goes without it."""
    transcript = talked("one", "a")
    transcript.asking("failed")
    assert said("failed", "user") not in transcript.asking("two")


def test_asking_again() -> None:
    """It goes without the answer, which stays until another one is there."""
    transcript = talked("one", "a", "two", "b")
    again = [SYSTEM, said("one", "user"), said("a"), said("two", "user")]
    assert transcript.asking_again() == transcript.asking_again() == again
    assert transcript.has_answer
    assert not transcript.answered(said("half"), broken=True)
    assert transcript.answered(said("c"))
    assert transcript.asking_again() == again
    assert transcript.asking("three")[-3:] == [
        said("two", "user"),
        said("c"),
        said("three", "user"),
    ]
    transcript.forget()
    assert transcript.asking_again() is None
    assert Transcript().asking_again() is None


def test_asking_again_what_had_no_answer() -> None:
    """An older answer to the same words is not taken for its own."""
    transcript = talked("go on", "a")
    asked = transcript.asking("go on")
    assert not transcript.has_answer
    assert transcript.asking_again() == asked
    transcript.answered(said("half"), broken=True)
    assert transcript.asking("two")[1:-1] == [
        said("go on", "user"),
        said("a"),
        said("go on", "user"),
        said("half"),
    ]


def test_what_was_used() -> None:
    """Tokens and costs add up; what is not known is said to be so."""
    transcript = Transcript()
    usage = Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15)
    part = PartialUsage(completion_tokens=7)
    transcript.used_by(Account(part, "estimated", None, 7, None), None, model="a")
    assert transcript.used == Used(1, 0, 7, None, 1)
    transcript.used_by(Account(usage, "provider", 10**12, None, None), None, model="b")
    transcript.used_by(Account(None, None, None, None, None), 0.5, model="a")
    assert transcript.used == Used(3, 10, 12, 1.5, 1)
    assert transcript.by_model == {"a": Used(2, 0, 7, 0.5, 1), "b": Used(1, 10, 5, 1.0, 0)}


def test_written_out() -> None:
    """As JSON it is what a request has; as Markdown each message has a heading."""
    transcript = talked("Ça va ?", "**Oui.**\n")
    assert json.loads(transcript.as_json("m")) == {
        "model": "m",
        "messages": [SYSTEM, said("Ça va ?", "user"), said("**Oui.**\n")],
    }
    assert "Ça" in transcript.as_json("m")
    assert transcript.as_markdown("m") == (
        "## Instructions\n\nBe terse.\n\n## You\n\nÇa va ?\n\n## m\n\n**Oui.**\n"
    )
