"""Write header_names.json: what Slicer's and CTK's headers let Python see of the classes that have stand-ins.

Names only, from bare git clones: ``python -m Testing.Slicer.read_header_names SLICER.git CTK.git``. Python sees
properties, signals, public slots, Q_INVOKABLE methods, enumerators, and what the PythonQt decorator headers add.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

OUT = Path(__file__).with_name("header_names.json")
CLASSES = (
    "ctkCollapsibleButton",
    "ctkComboBox",
    "ctkFittedTextBrowser",
    "ctkMessageBox",
    "ctkPathLineEdit",
    "ctkSliderWidget",
    "qMRMLNodeComboBox",
    "qMRMLSliceView",
    "qMRMLSliceWidget",
    "qMRMLThreeDView",
    "qMRMLThreeDWidget",
    "qMRMLWidget",
    "qSlicerApplication",
    "qSlicerCoreIOManager",
    "qSlicerLayoutManager",
    "qSlicerLoadableModule",
    "qSlicerMainWindow",
    "qSlicerModuleFactoryManager",
    "qSlicerModuleManager",
    "qSlicerModuleSelectorToolBar",
    "qSlicerScriptedLoadableModule",
    "qSlicerScriptedLoadableModuleWidget",
)
_ACCESS = re.compile(r"^\s*(public|protected|private)?\s*(slots|Q_SLOTS|signals|Q_SIGNALS)?\s*:\s*$")


class Headers:
    """The headers of two repositories, by class name."""

    def __init__(self, *repositories: str) -> None:
        self._where: dict[str, tuple[str, str]] = {}
        self._decorators: list[tuple[str, str]] = []
        for repository in repositories:
            for path in _git(repository, "ls-tree", "-r", "HEAD", "--name-only").split("\n"):
                if path.endswith(".h") and "Testing" not in path:
                    self._where.setdefault(Path(path).stem, (repository, path))
                    if "PythonQtDecorators" in path or path.endswith("ctkVisualizationVTKWidgetsPythonQtDecorators.h"):
                        self._decorators.append((repository, path))

    def has(self, name: str) -> bool:
        """Whether there is a header of that name."""
        return name in self._where

    def text(self, name: str) -> str:
        """A class's header without comments."""
        repository, path = self._where[name]
        return _bare(_git(repository, "show", f"HEAD:{path}"))

    def added(self, name: str) -> set[str]:
        """Names of methods that decorators add to a class."""
        found: set[str] = set()
        for repository, path in self._decorators:
            text = _bare(_git(repository, "show", f"HEAD:{path}"))
            found |= set(re.findall(rf"(\w+)\(\s*{name}\s*\*", text))
            found |= set(re.findall(rf"\bstatic_{name}_(\w+)\(", text))
        return found


def names(headers: Headers, name: str) -> dict[str, object]:
    """What Python sees of one class, and the class it derives from."""
    text = headers.text(name)
    match = re.search(rf"class\s+(?:\w+\s+)?{name}\s*(?:final)?\s*:\s*(?:public)?\s+(?:virtual\s+)?(\w+)", text)
    body = text[match.end() if match else 0 :]
    found = set(re.findall(r"Q_PROPERTY\(\s*[\w:<>*]+\s+\*?(\w+)", body))
    found |= set(re.findall(r"Q_INVOKABLE[^;{]*?(\w+)\s*\(", body))
    for enumeration in re.findall(r"enum\s+\w+\s*\{([^}]*)\}", body):
        found |= set(re.findall(r"^\s*(\w+)\s*(?:=|,|$)", enumeration.replace(",", ",\n"), re.MULTILINE))
    visible = False
    for line in body.split("\n"):
        access = _ACCESS.match(line)
        if access:
            kind, words = access.groups()
            visible = bool(words) and (kind == "public" or words in ("signals", "Q_SIGNALS"))
        elif visible:
            found |= set(re.findall(r"^\s*[\w:<>*&,\s]*?[\s*&](\w+)\s*\(", line))
    return {"base": match.group(1) if match else "", "names": sorted(found | headers.added(name))}


def main(slicer: str, ctk: str) -> None:
    """Write the list."""
    headers = Headers(slicer, ctk)
    wanted, classes = list(CLASSES), {}
    while wanted:
        name = wanted.pop()
        if headers.has(name) and name not in classes:
            classes[name] = names(headers, name)
            wanted.append(str(classes[name]["base"]))
    cmake = _git(slicer, "show", "HEAD:CMakeLists.txt")
    version = ".".join(re.findall(r'set\(Slicer_VERSION_(?:MAJOR|MINOR|PATCH)\s+"(\d+)"\)', cmake)[:3])
    commit = _git(slicer, "rev-parse", "--short=10", "HEAD").strip()
    ctk_commit = _git(ctk, "rev-parse", "--short=10", "HEAD").strip()
    content = {"slicer": f"{version} ({commit})", "ctk": ctk_commit, "classes": dict(sorted(classes.items()))}
    OUT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _git(repository: str, *arguments: str) -> str:
    command = ["git", f"--git-dir={repository}", *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "replace")


def _bare(text: str) -> str:
    return re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))


if __name__ == "__main__":
    main(*sys.argv[1:3])
