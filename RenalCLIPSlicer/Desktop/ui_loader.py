"""Loads Designer's ``.ui`` files as Slicer does: known classes and properties only, connections as the file says."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import pythonqt


class UiError(RuntimeError):
    """The file names a class, property, signal or slot that does not exist."""


class QUiLoader(QtCore.QObject):
    """``qt.QUiLoader`` with Slicer's and CTK's widgets."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)

    def load(self, device: QtCore.QIODevice, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        """Load a file.

        Raises:
            UiError: As the class says.
        """
        tree = ElementTree.fromstring(bytes(device.readAll().data()))
        loader = QtUiTools.QUiLoader()
        custom = custom_classes()
        for cls in custom.values():
            loader.registerCustomWidget(cls)
        self._check_classes(tree, custom)
        connections = tree.find("connections")
        if connections is not None:
            tree.remove(connections)
        buffer = QtCore.QBuffer()
        buffer.setData(QtCore.QByteArray(ElementTree.tostring(tree)))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        with pythonqt.form_being_loaded():
            root = loader.load(buffer, parent)
        if root is None:
            raise UiError(f"Qt could not load the form: {loader.errorString()}")
        kept = [root, *root.findChildren(QtCore.QObject)]
        for item in kept:
            if "connect" not in item.__dict__:
                pythonqt.give_connect(item)
        root.__dict__["_kept"] = kept
        self._check_properties(tree, {item.objectName: item for item in kept})
        for connection in connections if connections is not None else ():
            _honour(connection, {item.objectName: item for item in kept})
        return root

    def _check_classes(self, tree: Any, custom: dict[str, type]) -> None:
        for widget in tree.iter("widget"):
            name = widget.get("class")
            if name not in custom and not hasattr(QtWidgets, name):
                raise UiError(f"The form uses the class {name}, which is not known here.")

    def _check_properties(self, tree: Any, items: dict[str, Any]) -> None:
        for element in _described(tree):
            item = items.get(element.get("name"))
            for given in element.findall("property"):
                name = given.get("name")
                dynamic = given.get("stdset") == "0"
                if item is not None and not dynamic and item.metaObject().indexOfProperty(name) < 0:
                    raise UiError(f"{element.get('class')} {element.get('name')!r} has no property {name!r}.")


def custom_classes() -> dict[str, type]:
    """Slicer's and CTK's widgets that a form may use, by name."""
    from .ctk_widgets import CLASSES
    from .mrml_widgets import qMRMLNodeComboBox, qMRMLWidget

    return {cls.__name__: cls for cls in (*CLASSES, qMRMLNodeComboBox, qMRMLWidget)}


def _described(tree: Any) -> Iterator[Any]:
    for kind in ("widget", "action"):
        yield from tree.iter(kind)


def _honour(connection: Any, items: dict[str, Any]) -> None:
    sender, signal, receiver, slot = (connection.findtext(tag, "") for tag in ("sender", "signal", "receiver", "slot"))
    if sender not in items or receiver not in items:
        raise UiError(f"The form connects {sender}.{signal} to {receiver}.{slot}; one of the two is not in it.")
    name = slot.partition("(")[0]
    target = getattr(items[receiver], name, None)
    if not callable(target) or not items[sender].connect(signal, target):
        raise UiError(f"The form connects {sender}.{signal} to {receiver}.{slot}; there is no such signal or slot.")
