"""Hooks of MkDocs (mkdocs.yml): the README is the start page, and links out of docs/ work on the site too.

The Markdown stays as people read it in the repository. Source: https://www.mkdocs.org/user-guide/configuration/#hooks
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md as the start page."""
    content = (ROOT / "README.md").read_text("utf-8")
    files.append(File.generated(config, "index.md", content=_LINK.sub(_from_root, content)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show a link to a file outside docs/, which the site does not have, as its text."""
    return _LINK.sub(lambda link: link["text"] if link["target"].startswith("../") else link[0], markdown)


def _from_root(link: re.Match[str]) -> str:
    """The link as docs/index.md would write it: README.md lies one folder above."""
    target = link["target"]
    if target.startswith(("http://", "https://", "#")):
        return link[0]
    inside = target.startswith("docs/")
    return f"[{link['text']}]({target.removeprefix('docs/')})" if inside else link["text"]
