"""What stands in a line of Markdown, as text with styles. Pure.

A model may write anything: what could move a terminal's cursor is taken out here once more,
since a reference such as ``&#27;`` becomes a character only now. A link's address is shown, and
nothing is ever loaded or made clickable by an escape sequence.
"""

from __future__ import annotations

from collections.abc import Iterable

from markdown_it.tree import SyntaxTreeNode
from rich.text import Text

from deltaweir.cli.show import printable

_STYLES = {"strong": "bold", "em": "italic", "s": "strike"}
CODE = "cyan"
FAINT = "dim"


def inline(nodes: Iterable[SyntaxTreeNode], style: str = "") -> Text:
    """Return what the children of a paragraph, a heading or a table's cell say.

    Args:
        nodes: The children.
        style: The style of it all.
    """
    text = Text(style=style)
    for node in nodes:
        text.append_text(_one(node))
    return text


def _one(node: SyntaxTreeNode) -> Text:
    match node.type:
        case "softbreak" | "hardbreak":
            return Text("\n")  # models break lines where they mean it
        case "link":
            return _link(node)
        case "image":
            return _image(node)
    if node.children:
        return inline(node.children, _STYLES.get(node.type, ""))
    text = Text()
    return text.append(printable(node.content or ""), CODE if node.type == "code_inline" else "")


def _image(node: SyntaxTreeNode) -> Text:
    source = printable(str(node.attrs.get("src", "")))
    return Text(f"[{printable(node.content)}]").append(f" ({source})", style=FAINT)


def _link(node: SyntaxTreeNode) -> Text:
    text = inline(node.children, "underline")
    address = printable(str(node.attrs.get("href", "")))
    if address.removeprefix("mailto:") == text.plain:
        return text
    return Text().append_text(text).append(f" ({address})", style=FAINT)
