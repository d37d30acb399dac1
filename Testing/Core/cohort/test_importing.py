"""A table from elsewhere becomes a cohort as its mapping says, or is refused with line and column."""

import datetime
import json
import re

import pytest

from RenalCLIPCore.cli import main
from RenalCLIPCore.cohort.importing import import_cohort
from RenalCLIPCore.cohort.mapping import UNITS, load_mapping
from RenalCLIPCore.cohort.table import COLUMNS, FollowUp, read_cohort
from RenalCLIPCore.errors import CohortError, ConfigurationError
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.resources import resources
from Testing.Core.real_data import REAL_DATA

MAPPING = """
[table]
delimiter = ";"
decimal = ","
missing = ["NA", -99]
comment = "#"
centre_frame = "RAS"

[columns]
patient = "ID"
side = { column = "Seite", values = { L = "left", R = "right" } }
site = { constant = "north" }
sex = { column = "Sex", values = { M = "male", F = "female" } }
malignancy = { column = "Dignity", values = { 1 = "malignant", 0 = "benign" } }
diameter_mm = { column = "Size", unit = "cm" }
age_years = { from = "Born", to = "Scan", dates = "%d.%m.%Y" }
rfs_months = { from = "Scan", to = "Seen", dates = "%d.%m.%Y" }
rfs_event = { column = "Relapse", values = { yes = true, no = false } }
volume_a = "Arterial"
centre_x_lps_mm = "X"
centre_y_lps_mm = "Y"
centre_z_lps_mm = "Z"
"""
HEADER = "ID;Seite;Sex;Dignity;Size;Born;Scan;Seen;Relapse;Arterial;X;Y;Z;Telephone"
FIRST = "p1;L;m;1,0;4,2;03.02.1961;01.06.2019;01.06.2020;Yes;p1/A.nii.gz;10,5;-20;30;12345"
SECOND = "p2;R;F;0;NA;NA;01.06.2019;NA;-99;;;;;"


def mapping_file(tmp_path, text=MAPPING, name="mapping.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def foreign(tmp_path, *lines, header=HEADER):
    path = tmp_path / "registry.csv"
    path.write_text("\n".join(["# registry of the north", header, *lines, ""]), encoding="utf-8")
    return path


def imported(tmp_path, *lines, header=HEADER, mapping=MAPPING):
    return import_cohort(foreign(tmp_path, *lines, header=header), load_mapping(mapping_file(tmp_path, mapping)))


def test_columns_values_units_dates_and_frames_are_translated(tmp_path):
    found = imported(tmp_path, FIRST, SECOND)
    first, second = found.rows
    assert (first.patient, first.side, first.site, first.clinical.sex) == ("p1", "left", "north", "male")
    assert (second.side, second.clinical.sex, second.labels) == ("right", "female", {"malignancy": 0})
    assert first.labels == {"malignancy": 1}
    assert first.diameter_mm == 42.0
    assert first.centre_lps_mm == (-10.5, 20.0, 30.0)
    assert first.clinical.age_years == pytest.approx(58.32, abs=0.01)
    assert first.follow_up == {"rfs": FollowUp(366 / (365.25 / 12), True)}
    assert first.volumes == {Phase.A: tmp_path / "p1" / "A.nii.gz"}
    assert found.left_out == ("Telephone",)


def test_missing_cells_stay_missing(tmp_path):
    second = imported(tmp_path, FIRST, SECOND).rows[1]
    assert (second.diameter_mm, second.clinical.age_years, second.follow_up, second.centre_lps_mm, second.volumes) == (
        None,
        None,
        {},
        None,
        {},
    )


def test_json_says_the_same_as_toml(tmp_path):
    import tomllib

    content = json.dumps(tomllib.loads(MAPPING))
    assert load_mapping(mapping_file(tmp_path, content, "mapping.json")) == load_mapping(mapping_file(tmp_path))


def changed(line, **cells):
    return ";".join(cells.get(name, cell) for name, cell in zip(HEADER.split(";"), line.split(";"), strict=True))


TOMORROW = (datetime.date.today() + datetime.timedelta(days=2)).strftime("%d.%m.%Y")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"Seen": "30.02.2020"}, r"line 3: 'Seen' holds no date of the form %d.%m.%Y"),
        ({"Seen": "2020-06-01"}, "'Seen' holds no date"),
        ({"Seen": TOMORROW}, "'Seen' holds a date in the future"),
        ({"Seen": "31.05.2019"}, "'Seen' lies before 'Scan'"),
        ({"Seen": "01.06.2019"}, "rfs_months must be a finite number above 0"),
        ({"Born": "01.06.1819"}, "age_years must be at most 125"),
        ({"Seite": "B"}, "'Seite' holds a value that the mapping does not know for side; it knows L, R"),
        ({"Seite": ""}, "side must be left or right"),
        ({"Size": "large"}, "diameter_mm must be a number"),
        ({"Size": "-3"}, "diameter_mm must be a finite number above 0"),
        ({"Relapse": ""}, "rfs_months must be given together with rfs_event"),
        ({"X": ""}, "centre_x_lps_mm must be given"),
        ({"ID": "Jane Roe"}, "patient must be 1 to 64 letters"),
    ],
)
def test_a_bad_cell_is_refused_with_line_and_column_and_is_not_quoted(tmp_path, cells, message):
    with pytest.raises(CohortError, match=message) as caught:
        imported(tmp_path, changed(FIRST, **cells))
    assert "line 3" in str(caught.value)
    for cell in filter(None, cells.values()):
        assert cell not in str(caught.value).replace("it knows L, R", "").replace("%d.%m.%Y", "").split(": ", 1)[1]


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (
            [FIRST],
            HEADER.replace("Seite", "Side"),
            "the column 'Seite', which the mapping names for 'side', is missing",
        ),
        ([FIRST], HEADER.replace("Telephone", "Sex"), "the column 'Sex' is there 2 times"),
        ([FIRST, FIRST], HEADER, "row 2 repeats"),
        ([FIRST + ";x"], HEADER, "line 3: the number of cells"),
        ([], HEADER, "no rows"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, lines, header, message):
    with pytest.raises(CohortError, match=message):
        imported(tmp_path, *lines, header=header)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[columns]\npatient = 'a'\n", "must say where 'side' comes from"),
        ("[columns]\npatient = 'a'\nside = 'b'\nsize = 'c'\n", "no column 'size'"),
        ("[columns]\npatient = 'a'\nside = {column = 'b', values = {L = 'links'}}\n", "side must be left or right"),
        (
            "[columns]\npatient = 'a'\nside = 'b'\nmalignancy = {column = 'c', values = {x = 2}}\n",
            "integer from 0 to 1",
        ),
        ("[columns]\npatient = 'a'\nside = 'b'\nmalignancy = {constant = 'unknown'}\n", "malignancy must be a number"),
        ("[columns]\npatient = 'a'\nside = 'b'\nrfs_event = {column = 'c', values = {x = 2}}\n", "rfs_event must be"),
        ("[columns]\npatient = 'a'\nside = 'b'\nage_years = {column = 'c', unit = 'cm'}\n", "age_years comes in days"),
        ("[columns]\npatient = 'a'\nside = 'b'\nsex = {column = 'c', unit = 'cm'}\n", "sex comes in no unit"),
        ("[columns]\npatient = 'a'\nside = 'b'\nsex = {from = 'c', to = 'd'}\n", "no time in months or years"),
        ("[columns]\npatient = 'a'\nside = 'b'\nage_years = {from = 'c'}\n", "one source is needed"),
        ("[columns]\npatient = 'a'\nside = {}\n", "one source is needed"),
        ("[columns]\npatient = 'a'\nside = {column = 'b', constant = 'left'}\n", "one source is needed"),
        ("[columns]\npatient = 'a'\nside = {constant = 'left', unit = 'mm'}\n", "belong to a column"),
        ("[columns]\npatient = 'a'\nside = {column = 'b', values = {L = 'left', l = 'right'}}\n", "are the same"),
        ("[columns]\npatient = 'a'\nside = 'b'\nage_years = {from = 'c', to = 'd', dates = '%Y'}\n", "year, month and"),
        ("[columns]\npatient = 'a'\nside = 'b'\n[table]\nencoding = 'latin-99'\n", "no encoding 'latin-99'"),
        ("[columns]\npatient = 'a'\nside = 'b'\n[tables]\n", "tables: Extra inputs"),
        ("columns = 3", "valid dictionary"),
        ("[columns", "is not valid TOML"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused_before_a_row_is_read(tmp_path, text, message):
    with pytest.raises(ConfigurationError, match=message):
        load_mapping(mapping_file(tmp_path, text))


def test_a_mapping_that_is_not_there_or_no_json_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_mapping(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="not valid JSON"):
        load_mapping(mapping_file(tmp_path, "{", "mapping.json"))


def test_every_unit_belongs_to_the_ending_of_a_column():
    assert all(any(name.endswith(ending) for name in COLUMNS) for ending in UNITS)


def test_the_command_writes_a_cohort_table_and_names_what_it_left_out(tmp_path, capsys):
    table, mapping, out = foreign(tmp_path, FIRST, SECOND), mapping_file(tmp_path), tmp_path / "cohort.csv"
    assert main(["cohort", "import", str(table), "--mapping", str(mapping), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"2 rows of 2 patients in {out}\ncolumns left out: Telephone\n"
    assert read_cohort(out) == import_cohort(table, load_mapping(mapping)).rows
    assert "12345" not in out.read_text(encoding="utf-8")


def test_a_refused_table_writes_nothing(tmp_path, capsys):
    table, mapping = foreign(tmp_path, FIRST, FIRST), mapping_file(tmp_path)
    assert main(["cohort", "import", str(table), "--mapping", str(mapping), "--out", str(tmp_path / "out.csv")]) == 2
    assert "repeats" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_the_command_without_a_mapping_changes_the_format_alone(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (renalclip[parquet])")
    path = tmp_path / "cohort.csv"
    path.write_text("patient,side,malignancy\np1,left,1\np2,right,\n", encoding="utf-8")
    assert main(["cohort", "import", str(path), "--out", str(tmp_path / "cohort.parquet")]) == 0
    assert read_cohort(tmp_path / "cohort.parquet") == read_cohort(path)


def test_a_public_registry_table_is_read(tmp_path):
    table = REAL_DATA / "clinical" / "tcga_kirc_porpoise_survival.csv"
    if not table.is_file():
        pytest.skip("the TCGA-KIRC table is not on this machine (RENALCLIP_REAL_DATA)")
    text = """
    [columns]
    patient = "case_id"
    side = { constant = "left" }
    site = "site"
    age_years = "age"
    sex = { column = "is_female", values = { 0 = "male", 1 = "female" } }
    os_months = "survival_months"
    os_event = { column = "censorship", values = { 0 = true, 1 = false } }
    """
    rows = import_cohort(table, load_mapping(mapping_file(tmp_path, text))).rows
    assert len(rows) > 300
    assert {row.clinical.sex for row in rows} == {"", "male", "female"}
    assert rows[0].follow_up == {"os": FollowUp(12.65, False)}


def test_the_guide_names_every_column_and_its_example_is_a_mapping(tmp_path):
    guide = (resources() / "guides" / "cohorts.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_0-9]+)`", guide))
    shortened = {name for name in COLUMNS if name.startswith(("attribute_", "true_attribute_", "oracle_"))}
    assert set(COLUMNS) - shortened <= named
    example = re.search(r"```toml\n(.*?)```", guide, re.DOTALL)[1]
    assert set(load_mapping(mapping_file(tmp_path, example)).columns) > {"patient", "side", "rfs_months"}


def test_typed_dates_times_and_truth_values_of_parquet_are_read_as_such(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    day, moment = datetime.date(2019, 6, 1), datetime.datetime(2020, 6, 1, 9, 30)
    columns = {"ID": ["p1", "p2"], "Side": ["left", "left"], "Scan": [day, day], "Seen": [moment, moment]}
    parquet.write_table(pyarrow.table({**columns, "Relapse": [True, False]}), tmp_path / "registry.parquet")
    text = """
[columns]
patient = "ID"
side = "Side"
rfs_months = { from = "Scan", to = "Seen", dates = "%d.%m.%Y" }
rfs_event = { column = "Relapse", values = { true = true, false = false } }
"""
    mapping = load_mapping(mapping_file(tmp_path, text))
    rows = import_cohort(tmp_path / "registry.parquet", mapping).rows
    assert [row.follow_up["rfs"].event for row in rows] == [True, False]
    assert rows[0].follow_up["rfs"].months == pytest.approx(366 / 30.4375, rel=0.01)
