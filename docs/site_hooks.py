"""What MkDocs does besides for our site: files of the project that pages link to are pages too, and nothing is loaded.

Pages link to tests, to the README and to other files where they lie in the repository; GitHub follows such links. The
site has these files under source/, so that the same links work in both places.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
_FENCES = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(\[[^\]]*\]\()([^)\s:#]+)(#[^)\s]*)?\)")
_LOADED = re.compile(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?(?:https?:)?//|<link[^>]*\shref=\"?(?:https?:)?//")
_LANGUAGES = {".py": "python", ".json": "json", ".toml": "toml", ".jsonl": "json"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to beside docs/, and what that links to in turn."""
    unread = [ROOT / "docs" / file.src_uri for file in files.documentation_pages()]
    added: set[Path] = set()
    while unread:
        path = unread.pop()
        for target in _outside(path) if path.suffix == ".md" else ():
            if target not in added:
                added.add(target)
                unread.append(target)
                files.append(File.generated(config, _uri(target), content=_page_of(target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Have links lead to where the site has what they lead to."""
    path = _path(page.file.src_uri)

    def led(link: re.Match[str]) -> str:
        target = (path.parent / link[2]).resolve()
        if not target.exists() or path.suffix != ".md":
            return link[0]
        uri = posixpath.relpath(_uri(target), posixpath.dirname(page.file.src_uri) or ".")
        return f"{link[1]}{uri}{link[3] or ''})"

    parts = _FENCES.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(led, part) for part in parts)


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that loads anything from elsewhere: it is read without a network as well."""
    for page in sorted(Path(config.site_dir).rglob("*.html")):
        if found := _LOADED.search(page.read_text("utf-8")):
            raise PluginError(f"{page} loads something from elsewhere: {found[0]}")


def _outside(path: Path) -> Iterator[Path]:
    """Return the files beside docs/ that a page links to."""
    text = _FENCES.sub("", path.read_text("utf-8"))
    for link in _LINK.finditer(text):
        target = (path.parent / link[2]).resolve()
        if target.is_file() and target.is_relative_to(ROOT) and not target.is_relative_to(ROOT / "docs"):
            yield target


def _uri(target: Path) -> str:
    """Return where the site has a file."""
    if target.is_relative_to(ROOT / "docs"):
        return target.relative_to(ROOT / "docs").as_posix()
    name = target.relative_to(ROOT).as_posix()
    return f"source/{name}" if target.suffix == ".md" else f"source/{name}.md"


def _path(uri: str) -> Path:
    """Return the file that a page is made from."""
    if not uri.startswith("source/"):
        return ROOT / "docs" / uri
    name = uri.removeprefix("source/")
    return ROOT / name if (ROOT / name).exists() else ROOT / name.removesuffix(".md")


def _page_of(target: Path) -> str:
    text = target.read_text("utf-8")
    if target.suffix != ".md":
        name = target.relative_to(ROOT).as_posix()
        text = f"# {name}\n\n````{_LANGUAGES.get(target.suffix, 'text')}\n{text}\n````\n"
    return f"---\nsearch:\n  exclude: true\n---\n\n{text}"
