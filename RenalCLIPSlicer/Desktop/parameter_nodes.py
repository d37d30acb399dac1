"""``slicer.parameterNodeWrapper``: typed parameters kept in a scripted module's node, bound to widgets.

The stored form is Slicer's (text parameters, ``name.len`` and ``name.0`` ... for lists, node references), so that a
scene passes between the two. Types: bool, int, float, str, Path, Enum, MRML nodes, Optional of one of them, and lists.
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer
from PySide6 import QtWidgets
from vtkmodules.vtkCommonCore import vtkCommand

from .ctk_widgets import ctkPathLineEdit, ctkSliderWidget
from .mrml_widgets import qMRMLNodeComboBox

SlicerParameterNamePropertyName = "SlicerParameterName"


@dataclass(frozen=True)
class Default:
    """Annotation: the value of a parameter that was never set."""

    value: Any


@dataclass(frozen=True)
class Minimum:
    """Annotation: the least value."""

    minimum: Any

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, got {value}")


@dataclass(frozen=True)
class Maximum:
    """Annotation: the largest value."""

    maximum: Any

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, got {value}")


@dataclass(frozen=True)
class WithinRange:
    """Annotation: least and largest value."""

    minimum: Any
    maximum: Any

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within [{self.minimum}, {self.maximum}], got {value}")


class Choice:
    """Annotation: the allowed values."""

    def __init__(self, choices: Any) -> None:
        self.choices = list(choices)

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, got {value}")


class _Kind:
    """How values of one plain type are stored; ``None`` is a value only where ``optional``."""

    def __init__(self, kind: Any, optional: bool) -> None:
        self.kind, self.optional = kind, optional
        self.is_node = isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode)
        if not self.is_node and not (
            kind in (bool, int, float, str) or issubclass(kind, (pathlib.PurePath, enum.Enum))
        ):
            raise TypeError(f"parameters of type {kind} are not supported here")

    def default(self) -> Any:
        if self.is_node or self.optional:
            return None
        return next(iter(self.kind)) if issubclass(self.kind, enum.Enum) else self.kind()

    def check(self, value: Any) -> None:
        if value is None and (self.is_node or self.optional):
            return
        if isinstance(value, bool) and self.kind is not bool:
            raise ValueError(f"expected {self.kind.__name__}, got a bool")
        allowed = (int, float) if self.kind is float else self.kind
        if not isinstance(value, allowed):
            raise ValueError(f"expected {self.kind.__name__}, got {type(value).__name__} {value!r}")

    def write(self, node: Any, name: str, value: Any) -> None:
        self.check(value)
        if self.is_node:
            node.SetParameter(name, "")
            node.SetNodeReferenceID(name, value.GetID() if value is not None else None)
        elif value is None:
            node.SetParameter(name, "")
        elif isinstance(value, enum.Enum):
            node.SetParameter(name, value.name)
        else:
            node.SetParameter(name, str(value))

    def read(self, node: Any, name: str) -> Any:
        if self.is_node:
            return node.GetNodeReference(name)
        text = node.GetParameter(name)
        if self.optional and text == "":
            return None
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if issubclass(self.kind, enum.Enum) else self.kind(text)

    def has(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))


class _ListKind:
    """How lists of one plain type are stored."""

    def __init__(self, element: _Kind) -> None:
        self.element = element

    def default(self) -> list[Any]:
        return []

    def check(self, value: Any) -> None:
        for item in value:
            self.element.check(item)

    def write(self, node: Any, name: str, value: Any) -> None:
        self.check(value)
        before = int(node.GetParameter(f"{name}.len") or 0) if self.has(node, name) else 0
        for index, item in enumerate(value):
            self.element.write(node, f"{name}.{index}", item)
        node.SetParameter(f"{name}.len", str(len(value)))
        for index in range(len(value), before):
            node.UnsetParameter(f"{name}.{index}")

    def read(self, node: Any, name: str) -> tuple[Any, ...]:
        return tuple(self.element.read(node, f"{name}.{i}") for i in range(int(node.GetParameter(f"{name}.len"))))

    def has(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(f"{name}.len"))


@dataclass(frozen=True)
class _Parameter:
    name: str
    kind: Any
    default: Any
    annotations: tuple[Any, ...]

    def write(self, node: Any, value: Any) -> None:
        self.kind.check(value)
        for item in self.annotations:
            if hasattr(item, "validate"):
                item.validate(value)
        was_modifying = node.StartModify()
        try:
            self.kind.write(node, self.name, value)
        finally:
            node.EndModify(was_modifying)


def parameterNodeWrapper(classtype: Any = None) -> Any:
    """Class decorator: annotated members become parameters of the node that an instance is made with."""
    return _wrap if classtype is None else _wrap(classtype)


def isParameterNodeWrapper(item: Any) -> bool:
    return getattr(item, "_is_parameter_node_wrapper", False)


def _wrap(cls: Any) -> Any:
    parameters = {}
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        if hasattr(_Wrapper, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        parameters[name] = _parameter(name, hint, cls)
    members = {name: property(_getter(name), _setter(name)) for name in parameters}
    kept = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__", *parameters)}
    return type(cls.__name__, (_Wrapper,), {**kept, **members, "allParameters": parameters})


def _getter(name: str) -> Callable[[Any], Any]:
    return lambda self: self.getValue(name)


def _setter(name: str) -> Callable[[Any, Any], None]:
    return lambda self, value: self.setValue(name, value)


def _parameter(name: str, hint: Any, cls: Any) -> _Parameter:
    annotations = typing.get_args(hint)[1:] if typing.get_origin(hint) is typing.Annotated else ()
    plain = typing.get_args(hint)[0] if annotations else hint
    is_list = typing.get_origin(plain) is list
    kind: Any = _ListKind(_plain_kind(typing.get_args(plain)[0])) if is_list else _plain_kind(plain)
    given = [item.value for item in annotations if isinstance(item, Default)]
    default = getattr(cls, name) if hasattr(cls, name) else (given[0] if given else kind.default())
    return _Parameter(name, kind, default, tuple(annotations))


def _plain_kind(hint: Any) -> _Kind:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [item for item in typing.get_args(hint) if item is not type(None)]
        if len(members) == 1:
            return _Kind(members[0], True)
    if not isinstance(hint, type):
        raise TypeError(f"parameters of type {hint} are not supported here")
    return _Kind(hint, False)


class _Wrapper:
    """What every wrapped class can do."""

    _is_parameter_node_wrapper = True
    allParameters: typing.ClassVar[dict[str, _Parameter]] = {}

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._bindings: dict[int, list[tuple[str, _Binding]]] = {}
        self._tags: dict[int, int] = {}
        self._updating = False
        for parameter in self.allParameters.values():
            if not parameter.kind.has(parameterNode, parameter.name):
                parameter.write(parameterNode, parameter.default)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name != "parameterNode" and name not in self.allParameters:
            raise AttributeError(f"{type(self).__name__} has no parameter {name!r}")
        object.__setattr__(self, name, value)

    def getValue(self, name: str) -> Any:
        parameter = self.allParameters[name]
        if not parameter.kind.has(self.parameterNode, name):
            parameter.write(self.parameterNode, parameter.default)
        return parameter.kind.read(self.parameterNode, name)

    def setValue(self, name: str, value: Any) -> None:
        self.allParameters[name].write(self.parameterNode, value)

    def default(self, name: str) -> Any:
        return Default(self.allParameters[name].default)

    def connectGui(self, gui: Any) -> int:
        if isinstance(gui, QtWidgets.QWidget):
            widgets = gui.findChildren(QtWidgets.QWidget)
        else:
            widgets = [item for item in vars(gui).values() if isinstance(item, QtWidgets.QWidget)]
        named = {item.property(SlicerParameterNamePropertyName): item for item in widgets}
        return self.connectParametersToGui({name: item for name, item in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        tag = len(self._tags) + 1
        self._bindings[tag] = []
        for name, widget in mapping.items():
            if name not in self.allParameters:
                raise ValueError(f"Cannot find a param with the given name: {name}")
            binding = _Binding(widget, self.allParameters[name], self._from_widget)
            self._bindings[tag].append((name, binding))
            binding.write(self.getValue(name))
            binding.listen()
        self._tags[tag] = self.AddObserver(vtkCommand.ModifiedEvent, lambda *_: self._to_widgets())
        return tag

    def disconnectGui(self, tag: int) -> None:
        for _, binding in self._bindings.pop(tag, []):
            binding.stop()
        if tag in self._tags:
            self.RemoveObserver(self._tags[tag])
            self._tags[tag] = -1

    def _from_widget(self, binding: _Binding) -> None:
        if not self._updating:
            self.setValue(binding.parameter.name, binding.read())

    def _to_widgets(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for bindings in list(self._bindings.values()):
                for name, binding in bindings:
                    binding.write(self.getValue(name))
        finally:
            self._updating = False

    def StartModify(self) -> Any:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModifying: Any) -> Any:
        return self.parameterNode.EndModify(wasModifying)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        if tag >= 0:
            self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


class _Binding:
    """One parameter and the widget that shows it."""

    def __init__(self, widget: Any, parameter: _Parameter, changed: Callable[[_Binding], None]) -> None:
        self.widget, self.parameter, self._changed = widget, parameter, changed
        self._attribute, self._signal = self._access()
        limits = [item for item in parameter.annotations if isinstance(item, WithinRange)]
        if limits and hasattr(widget, "minimum"):
            widget.minimum, widget.maximum = limits[0].minimum, limits[0].maximum

    def _access(self) -> tuple[str, str]:
        known: tuple[tuple[Any, str, str], ...] = (
            (qMRMLNodeComboBox, "node", "currentNodeChanged"),
            (ctkPathLineEdit, "currentPath", "currentPathChanged"),
            (ctkSliderWidget, "value", "valueChanged"),
            (QtWidgets.QAbstractSlider, "value", "valueChanged"),
            (QtWidgets.QSpinBox, "value", "valueChanged"),
            (QtWidgets.QDoubleSpinBox, "value", "valueChanged"),
            (QtWidgets.QComboBox, "currentText", "currentTextChanged"),
            (QtWidgets.QLineEdit, "text", "textChanged"),
            (QtWidgets.QTextEdit, "plainText", "textChanged"),
            (QtWidgets.QPlainTextEdit, "plainText", "textChanged"),
            (QtWidgets.QAbstractButton, "checked", "toggled"),
        )
        for cls, attribute, signal in known:
            if isinstance(self.widget, cls):
                return attribute, signal
        raise RuntimeError(f"Unable to create GUI connector for {type(self.widget).__name__}")

    def listen(self) -> None:
        getattr(self.widget, self._signal).connect(self._heard)

    def stop(self) -> None:
        getattr(self.widget, self._signal).disconnect(self._heard)

    def _heard(self, *_: Any) -> None:
        self._changed(self)

    def read(self) -> Any:
        if self._attribute == "node":
            return self.widget.currentNode()
        value = getattr(self.widget, self._attribute)
        kind = self.parameter.kind.kind
        if issubclass(kind, enum.Enum):
            return kind[value]
        return kind(value) if issubclass(kind, (pathlib.PurePath, int)) and kind is not bool else value

    def write(self, value: Any) -> None:
        if self._attribute == "node":
            self.widget.setCurrentNode(value)
        elif self.read() != value:
            shown = value.name if isinstance(value, enum.Enum) else value
            setattr(self.widget, self._attribute, str(shown) if isinstance(shown, pathlib.PurePath) else shown)
