"""Check the built documentation: links and images within it resolve, images have alternative texts.

python scripts/check_site.py build/site docs

Every figure that a cell of the sources announces by its alternative text must be in its page.
Addresses outside of the site are not fetched, and none may be needed to show a page.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_MADE_BY_THEME = {"genindex.html", "search.html", "py-modindex.html"}


class Page(HTMLParser):
    """What a page refers to, and what can be referred to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []  # of the reader's choice
        self.parts: list[str] = []  # loaded with the page
        self.without_text: list[str] = []
        self.texts: set[str] = set()  # of images
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("img", "script", "source") and "src" in given:
            self.parts.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon"):
            self.parts.append(given.get("href", ""))
        if tag == "img":
            alt = given.get("alt", "").strip()
            self.texts.add(alt)
            if not alt or alt == given.get("src") or alt.endswith((".png", ".svg")):
                self.without_text.append(given.get("src", ""))


def problems(site: Path) -> list[str]:
    """Return a sentence for each defect."""
    found = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    pages = {path: Page(path.read_text("utf-8")) for path in found}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        found += [f"{name}: the image {src} has no alternative text" for src in page.without_text]
        for address in page.parts:
            if urlsplit(address).netloc:
                found.append(f"{name}: loads {address} from elsewhere")
        for address in [*page.links, *page.parts]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or name in _MADE_BY_THEME:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                found.append(f"{name}: {address} does not exist")
            elif parts.fragment and target in pages:
                anchors = pages[target].anchors
                if unquote(parts.fragment) not in anchors and parts.fragment != "":
                    found.append(f"{name}: {address} names no place in that page")
    return found


def missing_figures(site: Path, sources: Path) -> list[str]:
    """Return a sentence for each figure of a cell that is not in the page."""
    found = []
    for source in sorted(sources.rglob("*.md")):
        name = source.relative_to(sources).with_suffix(".html")
        announced = re.findall(r"^    alt: (.+)$", source.read_text("utf-8"), re.M)
        shown = Page((site / name).read_text("utf-8")).texts if announced else set()
        found += [
            f"{name.as_posix()}: no figure {text!r}" for text in announced if text not in shown
        ]
    return found


def main() -> None:
    site = Path(sys.argv[1]).resolve()
    found = problems(site) + missing_figures(site, Path(sys.argv[2]))
    print("\n".join(found) or f"{site.name}: all links, images and alternative texts are there")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
