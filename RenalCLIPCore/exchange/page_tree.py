"""The page's markup as a tree, with the standard library's parser; the page is our own and well formed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "img", "input", "br", "link"}
_UNSEEN = {"style", "script", "title", "meta", "input", "label", "stop", "defs"}


@dataclass
class Node:
    """An element: its tag, attributes, and children (elements and texts)."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)

    @property
    def classes(self) -> set[str]:
        """Names in its class attribute."""
        return set(self.attributes.get("class", "").split())

    @property
    def elements(self) -> list[Node]:
        """Children that are elements."""
        return [child for child in self.children if isinstance(child, Node)]

    def all(self, *tags: str) -> Iterator[Node]:
        """Elements of these tags below this one, in order; none inside one that was found."""
        for child in self.elements:
            if child.tag in tags:
                yield child
            else:
                yield from child.all(*tags)

    def first(self, tag: str) -> Node | None:
        """The first element of a tag below this one."""
        return next(self.all(tag), None)

    def text(self) -> str:
        """All text below, white space as it is."""
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)


def page_tree(markup: str) -> Node:
    """The element ``body`` of a page, without what is never shown."""
    parser = _Parser()
    parser.feed(markup)
    parser.close()
    return parser.root.first("body") or parser.root


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("document")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attributes})
        self._open[-1].children.append(node)
        if tag not in _VOID:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Node(tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        for place in range(len(self._open) - 1, 0, -1):
            if self._open[place].tag == tag:
                del self._open[place:]
                return

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def is_shown(node: Node) -> bool:
    """Whether an element shows anything on paper."""
    return node.tag not in _UNSEEN
