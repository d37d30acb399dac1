"""PySide6 made to look the way PythonQt, 3D Slicer's binding of Qt, presents Qt to a scripted module.

The classes of PySide6 are changed in place, once per process, so that objects which Qt itself makes behave alike:
Qt properties are attributes (``w.text``, never ``w.text()``), setters stay methods, ``w.connect("clicked(bool)", f)``
works, ``exec_``, ``className`` and ``name`` are there. Where PySide6 is more lenient than PythonQt, this raises:
attributes that no Qt class knows, keyword arguments, numpy scalars, the truth value of layouts, points and colours.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np
from PySide6 import QtCore, QtGui, QtWidgets

_MODULES = (QtCore, QtGui, QtWidgets)
_NATIVE: set[type] = set()
_loading: list[bool] = []
# overriding these in Python would make C++ call the override, which would call C++ again
_VIRTUAL_GETTERS = {
    ("QProgressBar", "text"),
    ("QWidget", "sizeHint"),
    ("QWidget", "minimumSizeHint"),
}
_VIRTUAL_SETTERS = {
    "setVisible",
    "setModel",
    "setSelectionModel",
    "setRootIndex",
    "setGeometry",
    "setSpacing",
    "setData",
    "setItemData",
    "setHeaderData",
    "setOffset",
    "setOptions",
    "addItem",
}
_TESTED_FOR_TRUTH = ("slicer.util",)  # Slicer's own code tests whatever children() returns


class QtProperty:
    """A Qt property as an attribute of its class."""

    def __init__(self, name: str, read: Callable[[Any], Any], write: Callable[[Any, Any], Any] | None) -> None:
        self.name, self.read, self.write = name, read, write

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self.read(instance)

    def __set__(self, instance: Any, value: Any) -> None:
        if self.write is None:
            raise AttributeError(f"Qt's property {self.name!r} of {type(instance).__name__} is read-only")
        self.write(instance, plain(value, self.name))


class StandIn:
    """Mixed into Python classes that stand in for a C++ class of Slicer: they take no stray attributes either.

    They offer what PythonQt shows of such a class, properties, signals, public slots and invokable methods, and not
    its ordinary methods: ``button.collapsed = True``, for ``setCollapsed`` is not to be had in Slicer. ``_SIGNATURES``
    gives the argument types of each signal as the header writes them.
    """


def stored(kind: Any, name: str, default: Any) -> QtCore.Property:
    """A property of a stand-in that is only kept."""

    def read(instance: Any) -> Any:
        return instance.__dict__.get("_" + name, default)

    def write(instance: Any, value: Any) -> None:
        instance.__dict__["_" + name] = value

    return QtCore.Property(kind, read, write)


def plain(value: Any, where: str) -> Any:
    """The value, unless it is a numpy scalar, which PythonQt does not convert."""
    if isinstance(value, np.generic):
        raise TypeError(f"{where}: PythonQt takes no numpy scalar ({type(value).__name__}); cast it first")
    return value


def install() -> types.ModuleType:
    """Change PySide6's classes and register the module ``qt``; the module is returned, at every call the same one."""
    if "qt" not in sys.modules:
        for cls in list(_qobject_classes()):
            _NATIVE.add(cls)
            _publish_properties(cls)
            _check_setters(cls)
        for cls in _NATIVE:
            cls.__setattr__ = _set_attribute  # type: ignore[assignment]
            _take_positional_only(cls)
        _name_as_pythonqt()
        _refuse_truth()
        sys.modules["qt"] = _make_module()
    return sys.modules["qt"]


def _qobject_classes() -> Iterator[type]:
    for module in _MODULES:
        for name in dir(module):  # PySide6 makes its classes when they are asked for
            cls = getattr(module, name)
            if isinstance(cls, type) and issubclass(cls, QtCore.QObject):
                yield cls


def _publish_properties(cls: Any) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        found = meta.property(index)
        name = found.name()
        own = cls.__dict__.get(name)
        if (cls.__name__, name) in _VIRTUAL_GETTERS or (own is None and hasattr(cls, name)):
            continue
        if own is not None and not isinstance(own, types.MethodDescriptorType):
            continue  # a static method or a signal of the same name
        setter = getattr(cls, "set" + name[0].upper() + name[1:], None)
        setattr(
            cls, name, QtProperty(name, own or _reader(name), (setter or _writer(name)) if found.isWritable() else None)
        )


def _reader(name: str) -> Callable[[Any], Any]:
    return lambda instance: instance.property(name)


def _writer(name: str) -> Callable[[Any, Any], Any]:
    return lambda instance, value: instance.setProperty(name, value)


def _check_setters(cls: type) -> None:
    if issubclass(cls, QtCore.QAbstractItemModel):
        return
    for name, method in list(vars(cls).items()):
        changes = name.startswith(("set", "add", "insert")) and name not in _VIRTUAL_SETTERS
        if changes and isinstance(method, types.MethodDescriptorType):
            setattr(cls, name, _positional(method))


def _positional(method: Any) -> Callable[..., Any]:
    @wraps(method)
    def call(instance: Any, *arguments: Any, **keywords: Any) -> Any:
        if keywords:
            raise TypeError(f"{method.__name__}: PythonQt takes no keyword arguments ({', '.join(keywords)})")
        for value in arguments:
            plain(value, method.__name__)
        return method(instance, *arguments)

    return call


def _take_positional_only(cls: Any) -> None:
    original = cls.__init__

    def initialise(instance: Any, *arguments: Any, **keywords: Any) -> None:
        if keywords:
            raise TypeError(f"{cls.__name__}: PythonQt takes no keyword arguments ({', '.join(keywords)})")
        original(instance, *arguments)
        give_connect(instance)

    cls.__init__ = initialise


def _set_attribute(instance: Any, name: str, value: Any) -> None:
    described = _descriptor(type(instance), name)
    if isinstance(value, QtCore.SignalInstance):
        instance.__dict__[name] = value  # PySide6 keeps bound signals on the object
        return
    if _is_native(type(instance)):
        plain(value, name)
    if isinstance(described, QtCore.Property):
        if not instance.setProperty(name, value):
            raise ValueError(f"{type(instance).__name__}.{name} takes no {type(value).__name__} {value!r}")
    elif described is not None:
        described.__set__(instance, value)
    elif _is_native(type(instance)) and not name.startswith("_"):
        if _loading:
            return  # PySide6's loader makes each widget of a form an attribute of the form; PythonQt's does not
        raise AttributeError(f"{type(instance).__name__} has no property {name!r}")
    else:
        instance.__dict__[name] = value


@contextmanager
def form_being_loaded() -> Iterator[None]:
    """While PySide6's form loader works, which sets attributes of its own."""
    _loading.append(True)
    try:
        yield
    finally:
        _loading.pop()


def _descriptor(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        found = base.__dict__.get(name)
        if found is not None:
            return found if isinstance(found, QtCore.Property) or hasattr(type(found), "__set__") else None
    return None


def _is_native(cls: type) -> bool:
    return cls in _NATIVE or (issubclass(cls, StandIn) and cls.__module__.startswith(f"{__package__}."))


def give_connect(instance: QtCore.QObject) -> None:
    """Give one object connect() and disconnect() by signature; PySide6 finds its own ones before those of the class."""
    instance.__dict__["connect"] = types.MethodType(connect, instance)
    instance.__dict__["disconnect"] = types.MethodType(disconnect, instance)


def connect(sender: Any, signature: str, slot: Callable[..., Any], *extra: Any) -> bool:
    """PythonQt's ``sender.connect("signal(type)", slot)``: False when there is no such signal."""
    if extra or not callable(slot):
        raise TypeError("connect() takes a signature and a callable here")
    signal, count = _signal(sender, signature)
    if signal is None:
        return False
    relay = _relay(slot, count, _normal(signature).endswith("(bool)"))
    sender.__dict__.setdefault("_relays", []).append((_normal(signature), slot, relay))
    signal.connect(relay)
    return True


def disconnect(sender: Any, signature: str, slot: Callable[..., Any]) -> bool:
    """PythonQt's ``sender.disconnect("signal(type)", slot)``: False when they are not connected."""
    for item in sender.__dict__.get("_relays", []):
        if item[0] == _normal(signature) and item[1] == slot:
            sender.__dict__["_relays"].remove(item)
            _signal(sender, signature)[0].disconnect(item[2])
            return True
    return False


def _normal(signature: str) -> str:
    return bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()


def _signal(sender: Any, signature: str) -> tuple[Any, int]:
    name, _, rest = _normal(signature).partition("(")
    arguments = [part for part in rest.rstrip(")").split(",") if part]
    signatures = getattr(type(sender), "_SIGNATURES", {})
    if name in signatures:
        known = any(",".join(arguments) == form for form in signatures[name])
        return (getattr(sender, name), len(arguments)) if known else (None, 0)
    if sender.metaObject().indexOfSignal(_normal(signature)) < 0:
        return None, 0
    signal = getattr(sender, name)
    for form in _forms(sender, name):
        if form == arguments:
            return signal[",".join(arguments)] if len(_forms(sender, name)) > 1 else signal, len(arguments)
    return signal, len(arguments)


def _forms(sender: Any, name: str) -> list[list[str]]:
    """Parameter types of the signals with this name that are no shorter copies of another one."""
    meta = sender.metaObject()
    found = []
    for index in range(meta.methodCount()):
        method = meta.method(index)
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal and bytes(method.name().data()).decode() == name:
            found.append([bytes(item.data()).decode() for item in method.parameterTypes()])
    return [form for form in found if not any(len(o) > len(form) and o[: len(form)] == form for o in found)]


def _relay(slot: Callable[..., Any], count: int, truth: bool) -> Callable[..., None]:
    """Hands on as many of the signal's arguments as its signature names and the slot takes."""
    taken = min(count, _capacity(slot))

    def hand_on(*arguments: Any) -> None:
        values = [value is not None and value is not False for value in arguments] if truth else arguments
        slot(*values[:taken])

    # PySide6 looks at how many parameters a slot has
    forms: tuple[Callable[..., None], ...] = (
        lambda: hand_on(),
        lambda a: hand_on(a),
        lambda a, b: hand_on(a, b),
        lambda a, b, c: hand_on(a, b, c),
        lambda a, b, c, d: hand_on(a, b, c, d),
    )
    return forms[count]


def _capacity(slot: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):
        return sys.maxsize
    if any(item.kind is item.VAR_POSITIONAL for item in parameters):
        return sys.maxsize
    return sum(item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD) for item in parameters)


def _name_as_pythonqt() -> None:
    for cls in _NATIVE:
        if hasattr(cls, "exec") and not hasattr(cls, "exec_"):
            cls.exec_ = cls.exec  # type: ignore[attr-defined]
    root: Any = QtCore.QObject
    root.name = QtProperty("objectName", root.objectName.read, root.setObjectName)
    root.className = lambda instance: instance.metaObject().className()


def _refuse_truth() -> None:
    def refuse(instance: Any) -> bool:
        if sys._getframe(1).f_globals.get("__name__") in _TESTED_FOR_TRUTH:
            return True
        raise TypeError(
            f"the truth value of {type(instance).__name__} differs between PythonQt and PySide6: use 'is None'"
        )

    layouts = [cls for cls in _NATIVE if issubclass(cls, QtWidgets.QLayout)]
    for cls in (*layouts, QtCore.QPoint, QtCore.QPointF, QtGui.QColor):
        cls.__bool__ = refuse  # type: ignore[attr-defined]


def _make_module() -> types.ModuleType:
    from .ui_loader import QUiLoader

    module = types.ModuleType("qt", "Qt as 3D Slicer's Python presents it.")
    for source in _MODULES:
        for name in dir(source):
            if name.startswith("Q"):
                setattr(module, name, getattr(source, name))
    module.QUiLoader = QUiLoader  # type: ignore[attr-defined]
    return module
