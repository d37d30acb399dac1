"""Connections that a panel makes, so that it can take all of them back: PythonQt holds a slot's owner alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Connections:
    """Signals connected to bound methods."""

    def __init__(self) -> None:
        self._signals: list[tuple[Any, Callable[..., None]]] = []
        self._named: list[tuple[Any, str, Callable[..., None]]] = []

    def on(self, signal: Any, slot: Callable[..., None]) -> None:
        """Connect a signal."""
        signal.connect(slot)
        self._signals.append((signal, slot))

    def onNamed(self, widget: Any, signature: str, slot: Callable[..., None]) -> None:
        """Connect a signal by its signature; a wrong one raises."""
        if not widget.connect(signature, slot):
            raise ValueError(f"There is no signal {signature} to connect.")
        self._named.append((widget, signature, slot))

    def release(self) -> None:
        """Take all connections back; widgets that are gone are passed over."""
        signals, self._signals = self._signals, []
        named, self._named = self._named, []
        for signal, slot in signals:
            try:
                signal.disconnect(slot)
            except (ValueError, RuntimeError):
                continue
        for widget, signature, slot in named:
            try:
                widget.disconnect(signature, slot)
            except (ValueError, RuntimeError):
                continue
