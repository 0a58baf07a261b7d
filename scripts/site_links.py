"""What the site makes of links that leave docs/, of headings, and of the decision records.

In the checkout `[the chart](../deploy/chart/predictscale/README.md)` is a link. The site has
no such page, and the project's files have no address of their own yet, so there the path stands
in the text. A path that does not exist is a warning, which the strict build makes an error. Decision
records are listed in the navigation by their numbers, so that a new one need not be entered anywhere.
A heading that begins with a digit gets an anchor that does not: the theme's script takes anchors for
CSS selectors, and stops at one that is none.
"""

import logging
import re
from pathlib import Path
from typing import Any

from markdown.extensions.toc import slugify

log = logging.getLogger("properdocs.hooks.site_links")

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s:]+)\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_config(config: Any, **_: object) -> Any:
    """The settings with our anchors and the decision records; called by the site's builder."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = anchor
    docs = Path(config.docs_dir)
    records = [path.relative_to(docs).as_posix() for path in sorted(docs.glob("adr/*.md"))]
    if config.nav is not None and records:
        config.nav.append({"Decisions": records})
    return config


def anchor(heading: str, separator: str) -> str:
    """The anchor of a heading, which is a CSS selector behind its `#`."""
    plain = slugify(heading, separator)
    return f"n{plain}" if plain[:1].isdigit() else plain


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: object) -> str:
    """The page with links that leave the site told as paths; called by the site's builder."""
    folder, root = Path(page.file.abs_src_path).parent, Path(config.docs_dir)

    def told(link: re.Match[str]) -> str:
        path = (folder / link["target"].partition("#")[0]).resolve()
        if not link["target"].startswith("..") or path.is_relative_to(root):
            return link[0]
        if not path.exists():
            log.warning("%s: %s does not exist", page.file.src_path, link["target"])
        name = path.relative_to(root.parent).as_posix()
        return link["text"] if name in link["text"] else f"{link['text']} (`{name}`)"

    parts = _FENCE.split(markdown)
    # Odd parts are fenced: code is left as it is.
    return "".join(part if number % 2 else _LINK.sub(told, part) for number, part in enumerate(parts))
