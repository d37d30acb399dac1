"""The table of radiomic features: complete, restartable, the same in parallel, and strict when it is read."""

from dataclasses import replace

import numpy as np
import pytest

from RenalCLIPCore.cohort.radiomics_table import build_radiomics_table, read_radiomics_table
from RenalCLIPCore.cohort.table import CohortRow
from RenalCLIPCore.cohort.workers import Workers
from RenalCLIPCore.errors import Cancelled, CohortError
from RenalCLIPCore.imaging.radiomics import RadiomicsSpec
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume, write_volume

GRID = Geometry.from_components((24, 24, 12), (1.0, 1.0, 2.0), (-12.0, -12.0, -12.0), np.eye(3))
POINTS = GRID.lps(np.stack(np.meshgrid(*(np.arange(n) for n in GRID.size), indexing="ij"), axis=-1))


def labels_of(radius, label=2):
    array = np.where(np.linalg.norm(POINTS, axis=-1) <= radius, label, 1).astype(np.uint8)
    return Volume(array, GRID)


@pytest.fixture
def rows(tmp_path):
    found = []
    for number in range(4):
        folder = tmp_path / f"p{number}"
        folder.mkdir()
        write_volume(labels_of(5.0 + number), folder / "labels.nii.gz")
        phases = (Phase.A, Phase.V) if number else (Phase.A,)
        volumes = {}
        for phase in phases:
            values = np.random.default_rng(number).normal(50, 20, GRID.size).astype(np.float32)
            volumes[phase] = folder / f"{phase.value}.nii.gz"
            write_volume(Volume(values, GRID), volumes[phase])
        found.append(CohortRow(f"p{number}", "left", centre_lps_mm=(0.0, 0.0, 0.0), volumes=volumes,
                               label_map=folder / "labels.nii.gz"))  # fmt: skip
    return found


def test_every_lesion_has_a_row_and_every_phase_its_columns(rows, tmp_path):
    table = build_radiomics_table(rows, tmp_path / "features.csv")
    assert set(table.rows) == {(row.patient, row.side) for row in rows}
    assert table.of(rows[0]).phases == {"A"}
    assert table.of(rows[1]).phases == {"A", "V"}
    assert {name.split(".")[0] for name in table.names} == {"shape", "A", "V"}
    assert table.settings == RadiomicsSpec().words
    assert read_radiomics_table(tmp_path / "features.csv") == table
    assert not list(tmp_path.glob(".partial*"))


def test_a_run_that_was_broken_off_goes_on_where_it_stopped(rows, tmp_path, monkeypatch):
    out = tmp_path / "features.csv"

    def stop(fraction, words):
        if fraction >= 0.5:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        build_radiomics_table(rows, out, progress=stop)
    assert not out.exists()
    from RenalCLIPCore.cohort import radiomics_table

    extracted = []
    real = radiomics_table.lesion_features
    monkeypatch.setattr(radiomics_table, "lesion_features", lambda *a: extracted.append(1) or real(*a))
    table = build_radiomics_table(rows, out)
    assert len(extracted) == 2
    again = build_radiomics_table(rows, tmp_path / "again.csv")
    assert again == table


def test_processes_give_the_same_table(rows, tmp_path):
    alone = build_radiomics_table(rows, tmp_path / "alone.csv")
    build_radiomics_table(rows, tmp_path / "two.csv", workers=Workers(2))
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert alone.names


def test_an_unfinished_table_of_other_settings_is_refused(rows, tmp_path):
    out = tmp_path / "features.csv"

    def stop(fraction, words):
        raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        build_radiomics_table(rows, out, progress=stop)
    with pytest.raises(CohortError, match="other settings"):
        build_radiomics_table(rows, out, RadiomicsSpec(bin_hu=10.0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label_map": None}, "Row 2 has no label map"),
        ({"centre_lps_mm": None}, "Row 2 has no lesion centre"),
        ({"volumes": {}}, "Row 2 has no volume"),
    ],
)
def test_a_row_that_lacks_what_radiomics_needs_is_refused_before_anything_is_done(rows, tmp_path, change, words):
    rows[1] = replace(rows[1], **change)
    with pytest.raises(CohortError, match=words):
        build_radiomics_table(rows, tmp_path / "features.csv")
    assert not list(tmp_path.glob(".partial*"))


def test_a_label_map_without_tumour_names_the_row(rows, tmp_path):
    write_volume(labels_of(5.0, label=1), rows[2].label_map)
    with pytest.raises(CohortError, match="Row 3: The label map shows no tumour"):
        build_radiomics_table(rows, tmp_path / "features.csv")


def test_a_centre_far_from_every_lesion_is_refused(rows, tmp_path):
    rows[3] = replace(rows[3], centre_lps_mm=(90.0, 0.0, 0.0))
    with pytest.raises(CohortError, match="Row 4: the nearest lesion of its label map is 82 mm away"):
        build_radiomics_table(rows, tmp_path / "features.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("patient,side\np,left\n", "'settings' is missing"),
        ("patient,side,settings,A.slice.x\n", "has no rows"),
        ("patient,side,settings,A.slice.x\np,left,s,nan\n", "line 2: A.slice.x must be a finite number"),
        ("patient,side,settings,A.slice.x\np,left,s,inf\n", "must be a finite number"),
        ("patient,side,settings,A.slice.x\np,left,s,word\n", "must be a finite number"),
        ("patient,side,settings,A.slice.x\np,top,s,1\n", "the side left or right"),
        ("patient,side,settings,A.slice.x\np,left,s,1\np,left,s,2\n", "line 3: the lesion stands in a line above"),
        ("patient,side,settings,A.slice.x\np,left,s,1\nq,left,t,2\n", "different settings"),
        ("patient,side,settings,A.slice.x,A.slice.x\np,left,s,1,2\n", "a column twice"),
        ("patient,side,settings,A.slice.x\np,left,s\n", "number of cells"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_sentence(tmp_path, text, words):
    path = tmp_path / "features.csv"
    path.write_text(text)
    with pytest.raises(CohortError, match=words):
        read_radiomics_table(path)


def test_a_case_that_is_not_in_the_table_is_refused(rows, tmp_path):
    table = build_radiomics_table(rows[:2], tmp_path / "features.csv")
    with pytest.raises(CohortError, match="not in the table"):
        table.of(rows[3])
