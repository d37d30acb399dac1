"""One configuration per training stage, loaded from YAML. Unknown keys are refused; defaults are the paper's recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..errors import ConfigurationError
from ..resources import resources
from .fine_tuning_stages import MultitaskConfiguration, SurvivalConfiguration, TaskConfiguration
from .multiphase_stage import MultiphaseConfiguration
from .pretraining_stages import ClipConfiguration, ImageConfiguration, MntpConfiguration, SimcseConfiguration
from .report_stages import ReportAdaptersConfiguration, ReportProjectorConfiguration
from .stage import CONFIGURATION_FILE, Stage

_MAX_BYTES = 1 << 20

STAGES: dict[str, type[Stage]] = {
    "image": ImageConfiguration,
    "mntp": MntpConfiguration,
    "simcse": SimcseConfiguration,
    "clip": ClipConfiguration,
    "multitask": MultitaskConfiguration,
    "task": TaskConfiguration,
    "survival": SurvivalConfiguration,
    "multiphase": MultiphaseConfiguration,
    "report-projector": ReportProjectorConfiguration,
    "report-adapters": ReportAdaptersConfiguration,
}


def load_configuration(stage: str, path: Path | None = None) -> Any:
    """The effective configuration of a stage: a YAML file's values, the paper's recipe for everything else.

    Raises:
        ConfigurationError: Unknown stage or key, or an impossible value; the message names the first.
    """
    if stage not in STAGES:
        raise ConfigurationError(f"There is no stage {stage!r}; stages are {', '.join(STAGES)}.")
    try:
        return STAGES[stage].model_validate(_read(path) if path else {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "top level"
        where = path.name if path else "the defaults"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{where}, {place}: {message}.") from error


def stage_of(run: Path) -> str:
    """The stage of a run's folder.

    Raises:
        ConfigurationError: It holds no configuration.
    """
    if not (run / CONFIGURATION_FILE).is_file():
        raise ConfigurationError(
            f"A folder that 'renalclip train' wrote is needed, but {run.name} holds no {CONFIGURATION_FILE}."
        )
    content = _read(run / CONFIGURATION_FILE)
    return str(content.get("stage", "")) if isinstance(content, dict) else ""


def preset_path(name: str) -> Path:
    """File of a shipped preset.

    Raises:
        ConfigurationError: There is none of that name.
    """
    folder = resources() / "presets"
    found = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in found:
        raise ConfigurationError(f"There is no preset {name!r}; presets are {', '.join(found) or 'none'}.")
    return folder / f"{name}.yaml"


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigurationError(f"{path.name} is larger than {_MAX_BYTES >> 20} MB and is not read.")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"The configuration {path.name} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path.name} is not valid YAML.") from error
    return {} if content is None else content
