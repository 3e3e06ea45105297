"""Pages of the site that lie elsewhere in the repository, and links that work in both places.

A page in ``docs/`` links to a file as the repository has it, such as ``../deploy`` or
``../examples/bot.py``; files outside ``docs/`` link into it. Here those files become pages of the
site, and each such link is turned into one to its page. A link to anything that has no page stays
as it is, so that a strict build refuses it.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
MOUNTED = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "SECURITY.md": "security-policy.md",
    "benchmarks/README.md": "benchmarks.md",
    "deploy/README.md": "deploy.md",
}
"""Files of the repository, by the page of the site that shows them."""
_LISTED = {"deploy": "deploy.md", "examples": "examples.md", "examples/gateway": "examples.md"}
"""Folders whose files are shown as they are, by the page that shows them."""
_LANGUAGES = {
    ".cfg": "text",
    ".conf": "nginx",
    ".py": "python",
    ".toml": "toml",
    ".yaml": "yaml",
}
_UNSHOWN = {".ipynb", ".md", ".dockerignore"}
_FENCED = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere."""
    for source, page in MOUNTED.items():
        if page == "index.md":
            continue
        text = (ROOT / source).read_text("utf-8")
        if page == "deploy.md":
            text += "\n## The files\n\n" + _listing("deploy")
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "examples.md", content=_examples()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links to files of the repository into links to their pages."""
    uri = page.file.src_uri
    here = next((source for source, shown in MOUNTED.items() if shown == uri), f"docs/{uri}")
    if uri == "index.md":
        here = "docs/index.md"

    def turned(found: re.Match[str]) -> str:
        target, anchor = found[1], found[2] or ""
        there = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        shown, own = _page_of(there)
        if shown is None:
            return found[0]
        return posixpath.relpath(shown, posixpath.dirname(uri) or ".") + (anchor or own)

    parts = _FENCED.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(turned, part) for part in parts)


def _page_of(there: str) -> tuple[str | None, str]:
    """Return the page that shows a file of the repository, and where on it the file stands."""
    if there in MOUNTED:
        return MOUNTED[there], ""
    if there in _LISTED:
        return _LISTED[there], ""
    if there.startswith("docs/"):
        return there.removeprefix("docs/"), ""
    folder, _, name = there.rpartition("/")
    if folder in _LISTED and Path(name).suffix not in _UNSHOWN:
        return _LISTED[folder], f"#{_slug(name)}"
    if there.endswith(".ipynb"):
        return "examples.md", "#notebookipynb"
    return None, ""


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-")


def _listing(folder: str) -> str:
    """Return the files of a folder, each under its name."""
    shown = []
    for path in sorted((ROOT / folder).iterdir()):
        if not path.is_file() or path.suffix in _UNSHOWN or path.name.startswith("."):
            continue
        language = _LANGUAGES.get(path.suffix, "text")
        text = path.read_text("utf-8")
        shown.append(f"### {path.name}\n\n{_said(path, text)}```{language}\n{text}```\n")
    return "\n".join(shown)


def _said(path: Path, text: str) -> str:
    """Return the first sentence of a program, to stand above it."""
    said = ast.get_docstring(ast.parse(text)) if path.suffix == ".py" else None
    return f"{said.splitlines()[0]}\n\n" if said else ""


def _examples() -> str:
    """Return the page of examples."""
    return (
        "# Examples\n\nPrograms to begin with; each says at its head how it is started. "
        "All of them run in the project's tests.\n\n"
        f"{_listing('examples')}\n"
        "### notebook.ipynb\n\nA notebook: streams that are read, awaited and interrupted in "
        "cells. It lies in the folder `examples` of the repository; "
        "[Notebooks](notebooks.md) shows what is in it.\n\n"
        "## Configurations of the gateway\n\n"
        "Each stands in the folder `examples/gateway`.\n\n"
        f"{_listing('examples/gateway')}"
    )
