"""What something was learnt from: terms of others, and groups of patients; handed on from run to run to bundle.

Runs keep it in ``learnt-from.json``, and so do the folders that they leave (text encoders and their features, report
generators, segmentation models); bundles have it in their manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..cohort.groups import group_digests
from ..cohort.rows import CohortRow
from ..errors import TrainingError
from ..models.manifest import MANIFEST_FILE, read_manifest
from ..output import write_text

LEARNT_FROM_FILE: Final = "learnt-from.json"
OWN_LICENCE: Final = "Apache-2.0"


@dataclass(frozen=True)
class LearntFrom:
    """What was learnt from, over all the steps that led there.

    Attributes:
        licence: Terms of others under which the images (or the weights that training began with) are, or empty.
        groups: Digests of the groups of patients, see ``cohort.groups``.
    """

    licence: str = ""
    groups: frozenset[str] = frozenset()

    @staticmethod
    def of(rows: Iterable[CohortRow]) -> LearntFrom:
        """What rows bring along that are learnt from."""
        known = tuple(rows)
        return LearntFrom(joined_terms(*sorted({row.licence for row in known})), group_digests(known))

    def joined(self, *others: LearntFrom) -> LearntFrom:
        """This and what others were learnt from."""
        every = (self, *others)
        return LearntFrom(
            joined_terms(*(item.licence for item in every)), frozenset().union(*(item.groups for item in every))
        )

    def keep(self, folder: Path) -> None:
        """Leave the record in a folder; nothing where there is nothing to say."""
        if self != NOTHING:
            content = {"licence": self.licence, "groups": sorted(self.groups)}
            write_text(folder / LEARNT_FROM_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


NOTHING: Final = LearntFrom()


def learnt_from(*sources: Path | None) -> LearntFrom:
    """What bundles, runs and the folders that runs leave were learnt from, together.

    A source that says nothing counts as nothing: weights from elsewhere, runs of older versions.

    Raises:
        BundleError: A bundle's manifest cannot be read.
        TrainingError: A record is damaged.
    """
    return NOTHING.joined(*(_read(source) for source in sources if source is not None))


def joined_terms(*licences: str) -> str:
    """Every licence once, in the order given: what is put together is under all of them."""
    found = ""
    for words in licences:
        if words and f" {words} " not in f" {found} ":
            found = f"{found} {words}".strip()
    return found


def _read(source: Path) -> LearntFrom:
    if (source / MANIFEST_FILE).is_file():
        manifest = read_manifest(source)
        licence = "" if manifest.licence == OWN_LICENCE else manifest.licence
        return LearntFrom(licence, frozenset(manifest.training_groups))
    path = source / LEARNT_FROM_FILE
    if not path.is_file():
        return NOTHING
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return LearntFrom(str(content["licence"]), frozenset(str(group) for group in content["groups"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{LEARNT_FROM_FILE} of {source.name} is damaged; take an undamaged copy of it.") from error
