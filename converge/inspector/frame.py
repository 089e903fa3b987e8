"""What every page stands in: its head, where one is, and the way back."""

__all__ = ["page"]

from converge import __version__
from converge.inspector.links import Links
from converge.inspector.markup import Node, render, tag


def page(links: Links, title: str, *children: Node, trail: tuple[tuple[str, str], ...] = ()) -> str:
    """Return a whole page. trail: names and addresses of what leads to it, the nearest last."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} – Converge"),
        tag("link", rel="icon", href="data:,"),
        tag("link", rel="stylesheet", href=links.asset("style.css")),
        tag("script", src=links.asset("dagre.js"), defer=True),
        tag("script", src=links.asset("app.js"), defer=True),
    )
    crumbs = [tag("a", "Jobs", href=links.jobs()), *(tag("a", name, href=href) for name, href in trail)]
    body = tag(
        "body",
        tag("a", "Skip to the page", href="#main", class_="skip"),
        tag("header", tag("nav", tag("b", "Converge"), *crumbs, aria_label="Where you are"), class_="bar"),
        tag("main", *children, id="main", tabindex=-1),
        tag("footer", f"Converge {__version__}"),
    )
    return f"<!DOCTYPE html>\n{render(tag('html', head, body, lang='en'))}\n"
