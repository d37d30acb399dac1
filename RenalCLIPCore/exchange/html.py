"""A case review as one self-contained page: no request leaves it, no script runs in it."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__, review_reading
from ..errors import OutputError
from ..resources import resources
from ..review import Absent, CaseReview, LesionReview
from . import figures, page
from .evidence_pictures import evidence_captions

if TYPE_CHECKING:
    from jinja2 import Environment

Pictures = Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True)
class ReportRemark:
    """A sentence of a report that is ``contradicted`` or ``unsupported``, its author, and the facts beside it."""

    sentence: str
    verdict: str
    author: str
    facts: tuple[str, ...]


ReportChecks = Mapping[str, Sequence[ReportRemark]]

STUDY = "study"


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture as a data URI, with its width and height in pixels."""

    uri: str
    width: int
    height: int


_KINDS = {b"\x89PNG\r\n\x1a\n": ("png", "image/png"), b"\xff\xd8\xff": ("jpg", "image/jpeg")}


def render_html(review: CaseReview, pictures: Pictures, report_checks: ReportChecks | None = None) -> str:
    """The page of a review.

    Args:
        review: The review.
        pictures: PNG or JPEG bytes by lesion id and picture name (see :func:`.pictures.key_pictures`); those under
            ``study`` show a study in which no lesion was found. Anything that is neither PNG nor JPEG is left out.
        report_checks: By lesion id, the sentences of its report that are contradicted, or that no fact supports.
    """
    template = _environment().get_template("review.html.j2")
    return template.render(
        review=review, pictures=_embedded(pictures), STUDY=STUDY, report_checks=dict(report_checks or {})
    )


def render_nephrometry(lesions: Sequence[LesionReview], notes: Sequence[str], pictures: Pictures) -> str:
    """The page of lesions that were measured but not read by a network.

    Args:
        lesions: Their reviews, without a prediction.
        notes: On the masks as a whole.
        pictures: As for :func:`render_html`.
    """
    template = _environment().get_template("nephrometry.html.j2")
    return template.render(lesions=lesions, notes=notes, version=__version__, pictures=_embedded(pictures))


def write_html(
    review: CaseReview,
    folder: Path,
    out: Path,
    pictures: Pictures | None = None,
    report_checks: ReportChecks | None = None,
) -> Path:
    """Write the page by atomic rename and return its path.

    Args:
        review: The review.
        folder: Folder that the review's picture paths are relative to.
        out: The page.
        pictures: As for :func:`render_html`; read from the review's own paths when not given.
        report_checks: As for :func:`render_html`.

    Raises:
        OutputError: The page cannot be written.
    """
    text = render_html(review, read_pictures(review, folder) if pictures is None else pictures, report_checks)
    _write(out, text.encode("utf-8", errors="xmlcharrefreplace"))
    return out


def write_pictures(pictures: Mapping[str, bytes], folder: Path, owner: str) -> dict[str, str]:
    """Write the pictures of one lesion into ``folder/pictures`` and return their paths relative to ``folder`` by name.

    Raises:
        OutputError: They cannot be written.
    """
    paths = {}
    for name, data in pictures.items():
        kind = picture_kind(data)
        if kind:
            paths[name] = f"pictures/{owner}-{name}.{kind[0]}"
            _write(folder / paths[name], data)
    return paths


def read_pictures(review: CaseReview, folder: Path) -> dict[str, dict[str, bytes]]:
    """The pictures that a review names, by lesion id and name; files that are gone or lie outside are left out."""
    root = folder.resolve()
    found: dict[str, dict[str, bytes]] = {}
    owners = {STUDY: review.study.pictures, **{lesion.lesion_id: lesion.pictures for lesion in review.lesions}}
    for owner, paths in owners.items():
        files = {name: (root / path).resolve() for name, path in paths.items() if "\0" not in path}
        found[owner] = {
            name: file.read_bytes() for name, file in files.items() if file.is_relative_to(root) and file.is_file()
        }
    return {owner: pictures for owner, pictures in found.items() if pictures}


def picture_kind(data: bytes) -> tuple[str, str] | None:
    """Suffix and media type of PNG and JPEG bytes, None for anything else."""
    return next((kind for magic, kind in _KINDS.items() if data.startswith(magic)), None)


def embed(data: bytes) -> EmbeddedPicture | None:
    """A PNG or JPEG picture for the page, None for anything else or a damaged header."""
    from PIL import Image

    kind = picture_kind(data)
    if kind is None:
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    except OSError:
        return None
    return EmbeddedPicture(f"data:{kind[1]};base64,{base64.b64encode(data).decode('ascii')}", width, height)


def _embedded(pictures: Pictures) -> dict[str, dict[str, EmbeddedPicture]]:
    return {
        owner: {name: picture for name, data in items.items() if (picture := embed(data))}
        for owner, items in pictures.items()
    }


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"{path.name} cannot be written into {path.parent.name!r}; check the folder.") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(resources() / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        agreement_words=review_reading.agreement_words,
        component_rows=review_reading.component_rows,
        evidence_captions=evidence_captions,
        fact_names=page.fact_names,
        figures=figures,
        headlines=page.headlines,
        lesion_checks=review_reading.lesion_checks,
        missing_parts=page.missing_parts,
        moved_mm=page.moved_mm,
        ordered_phases=page.ordered_phases,
        predecessor_notes=review_reading.predecessor_notes,
        predicted_class=review_reading.predicted_class,
        study_checks=review_reading.study_checks,
        trained_on_phantoms=page.trained_on_phantoms,
    )
    environment.filters.update(
        centre_words=page.centre_words,
        peak_words=page.peak_words,
        percent=review_reading.percent,
        phase_words=review_reading.phase_words,
        point_words=page.point_words,
        present=review_reading.present,
        readable=review_reading.readable,
        task_words=review_reading.task_words,
        verdict=review_reading.verdict,
        when_words=review_reading.when_words,
    )
    environment.tests["there"] = lambda part: not isinstance(part, Absent)
    return environment
