"""Colours that stay legible on a light and on a dark window, and rich-text pieces."""

from __future__ import annotations

from html import escape
from typing import Any

import qt


class Theme:
    """Colours for a widget's palette.

    Args:
        widget: Any widget of the window.
    """

    def __init__(self, widget: Any) -> None:
        dark = widget.palette.color(qt.QPalette.Window).lightness() < 128
        self.ink = "#e8edf2" if dark else "#1c2733"
        self.quiet = "#9aa7b4" if dark else "#5b6875"
        self.track = "#3c4753" if dark else "#e1e7ec"
        self.bar = "#6ea8dc" if dark else "#2a6496"
        self.low = "#4cc3a0" if dark else "#00795f"
        self.high = "#f0974a" if dark else "#b5520a"
        self.alert = "#ff8f7d" if dark else "#a8281b"
        self.alertBack = "#4a3420" if dark else "#fff3dd"
        self.alertEdge = "#8a6a35" if dark else "#dcb463"
        self.tile = "#2d3742" if dark else "#f4f7fa"

    def colour(self, name: str) -> Any:
        """A colour of the theme for painting."""
        return qt.QColor(getattr(self, name))

    def soft(self, text: str) -> str:
        """Quiet rich text."""
        return f'<span style="color:{self.quiet}">{escape(text)}</span>'

    def strong(self, text: str) -> str:
        """Bold rich text."""
        return f"<b>{escape(text)}</b>"

    def warn(self, text: str) -> str:
        """Rich text that asks for attention."""
        return f'<span style="color:{self.high}">{escape(text)}</span>'

    def lines(self, texts: list[str]) -> str:
        """Texts below one another as a list."""
        return "".join(f'<div style="margin-top:2px">•&nbsp;{escape(text)}</div>' for text in texts)

    def rows(self, pairs: list[tuple[str, str]]) -> str:
        """Names and values in two columns; both are plain text."""
        cells = "".join(
            f'<tr><td style="padding:1px 10px 1px 0;color:{self.quiet}">{escape(name)}</td>'
            f'<td style="padding:1px 0">{escape(value)}</td></tr>'
            for name, value in pairs
        )
        return f'<table cellspacing="0">{cells}</table>'
