"""Import as a whole: what lands in the study folder, what is refused, and that nothing is left half written."""

import json
import os

import numpy as np
import pytest
from pydicom.uid import MRImageStorage

from RenalCLIPCore import cli
from RenalCLIPCore.errors import (
    Cancelled,
    ConfigurationError,
    GeometryError,
    GridMismatchError,
    InputError,
    MissingPhaseError,
    MixedPatientsError,
    ModalityError,
    NoReadableSeriesError,
    OutputError,
    RenalCLIPError,
    SliceGapError,
)
from RenalCLIPCore.imaging.importing import ImportOptions, import_study, parse_phase_overrides
from RenalCLIPCore.imaging.study import Phase, is_study, read_study
from RenalCLIPCore.imaging.volume import Geometry, Volume, write_volume
from Testing.Core.imaging import dicom_files as files
from Testing.Core.real_data import REAL_DATA

REAL = REAL_DATA / "ct"
GRID = Geometry.from_components((24, 20, 10), (0.8, 1.2, 2.5), (-12, -30, 100), np.eye(3))
DESCRIPTIONS = {"N": "nativ", "A": "arteriell", "V": "portalvenös", "D": "Spätphase"}


def phases(folder, letters="NAVD", **options):
    """Series 2, 3, ... one per phase, each with its own voxels."""
    for n, letter in enumerate(letters):
        tags = {"SeriesNumber": n + 2, "SeriesDescription": DESCRIPTIONS[letter], "AcquisitionTime": f"10{5 * n:02d}00"}
        tags |= {"SpecificCharacterSet": "ISO_IR 192"} | options
        files.save(files.datasets(files.body(n), **tags), folder, prefix=letter)
    return folder


def body(seed=0):
    return Volume(files.body(seed).transpose(2, 1, 0), GRID)


def refused(error, match, source, out, **options):
    """The import raises, and leaves neither a study nor anything temporary."""
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(error, match=match) as caught:
        import_study(source, out, ImportOptions(**options))
    assert type(caught.value) is error
    assert sorted(out.parent.rglob("*")) == before
    assert "SECRET" not in str(caught.value)
    assert "4711" not in str(caught.value)


def test_four_phases_in_one_folder_in_disorder(tmp_path):
    order = np.random.default_rng(0).permutation(files.SLICES)
    source = tmp_path / "in"
    for n, letter in enumerate("DVAN"):
        tags = {"SeriesNumber": 9 - n, "SeriesDescription": DESCRIPTIONS[letter], "SpecificCharacterSet": "ISO_IR 192"}
        files.save(files.datasets(files.body(n), **tags), source, prefix=f"x{n}", order=order)
    files.save(files.datasets(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesNumber=1)[:1], source, prefix="s")
    (source / "readme.txt").write_text("x")
    study = import_study(source, tmp_path / "out")
    assert list(study.phases) == list(Phase)
    for n, letter in enumerate("DVAN"):
        phase = study.phases[Phase(letter)]
        volume = phase.read()
        assert np.array_equal(volume.array, body(n).array)
        assert volume.geometry.same_grid(GRID)
        assert phase.confidence > 0.9
        assert phase.series == f"series {9 - n}"
    assert "Series 1 left out: localiser." in study.notes
    assert sorted(path.name for path in study.folder.iterdir()) == [
        "A.nrrd",
        "D.nrrd",
        "N.nrrd",
        "V.nrrd",
        "study.json",
    ]
    assert read_study(study.folder) == study
    assert is_study(study.folder)


@pytest.mark.parametrize("confidence", [10**400, -1, 1.5, "sure", None])
def test_a_study_file_with_an_impossible_confidence_is_refused_in_one_sentence(tmp_path, confidence):
    study = import_study(phases(tmp_path / "in", "A"), tmp_path / "out")
    document = json.loads((study.folder / "study.json").read_text())
    document["phases"][0]["confidence"] = confidence
    (study.folder / "study.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"study\.json is malformed"):
        read_study(study.folder)


def test_no_patient_data_in_the_study_unless_asked_for(tmp_path):
    source = phases(tmp_path / "in", "AV")
    plain = import_study(source, tmp_path / "plain")
    content = b"".join(path.read_bytes() for path in sorted(plain.folder.iterdir()))
    for secret in (b"SECRET", b"4711", b"20200102", b"ACC-99", b"19500101"):
        assert secret not in content
    kept = import_study(source, tmp_path / "kept", ImportOptions(keep_identifiers=True))
    assert kept.identifiers == {
        "patient_name": "SECRET^PERSON", "patient_id": "ID-4711", "study_date": "20200102",
        "accession_number": "ACC-99",
    }  # fmt: skip
    assert kept.study_id == plain.study_id


def test_the_study_id_follows_the_content_not_the_patient(tmp_path):
    one = import_study(phases(tmp_path / "a", "A"), tmp_path / "1")
    two = import_study(phases(tmp_path / "b", "A", PatientID="OTHER", PatientName="X^Y"), tmp_path / "2")
    assert one.study_id == two.study_id
    other = files.save(files.datasets(files.body(77), SeriesDescription="arteriell"), tmp_path / "c")
    assert import_study(other, tmp_path / "3").study_id != one.study_id


def stored(name, folder):
    """The same anatomy as a file stored in different ways."""
    volume = body()
    file = folder / "arterial.nii.gz"
    if name == "lps":
        write_volume(volume, file)
    elif name == "ras":
        corner = GRID.lps([GRID.size[0] - 1, GRID.size[1] - 1, 0])
        grid = Geometry.from_components(GRID.size, GRID.spacing_mm, corner, np.diag([-1.0, -1.0, 1.0]))
        write_volume(Volume(volume.array[::-1, ::-1].copy(), grid), file)
    elif name == "permuted":
        grid = Geometry.from_components(
            [GRID.size[a] for a in (2, 0, 1)], [GRID.spacing_mm[a] for a in (2, 0, 1)], GRID.origin_lps_mm,
            np.eye(3)[:, [2, 0, 1]],
        )  # fmt: skip
        write_volume(Volume(volume.array.transpose(2, 0, 1).copy(), grid), file)
    elif name == "float mha":
        file = folder / "arterial.mha"
        write_volume(Volume(volume.array.astype(np.float32), GRID), file)
    elif name == "reverse dicom":
        items = files.datasets(SeriesDescription="arterial")
        files.save(items[::-1], folder)
        return folder
    elif name == "enhanced":
        items = [files.enhanced([(files.body(), files.positions(), 1, "20200102100000")], SeriesDescription="arterial")]
        files.save(items, folder)
        return folder
    return file


@pytest.mark.parametrize("name", ["lps", "ras", "permuted", "float mha", "reverse dicom", "enhanced"])
def test_how_the_anatomy_is_stored_does_not_matter(tmp_path, name):
    (tmp_path / "in").mkdir()
    study = import_study(stored(name, tmp_path / "in"), tmp_path / "out")
    volume = study.phases[Phase.A].read()
    assert np.array_equal(volume.array, body().array)
    assert volume.geometry.same_grid(GRID, 1e-4)


def test_several_files_named_by_phase(tmp_path):
    for n, letter in enumerate("AV"):
        write_volume(body(n), tmp_path / f"{letter}.nii.gz")
    study = import_study([tmp_path / "A.nii.gz", tmp_path / "V.nii.gz"], tmp_path / "out")
    assert set(study.phases) == {Phase.A, Phase.V}
    assert np.array_equal(study.phases[Phase.V].read().array, body(1).array)


def test_a_mask_in_a_folder_of_volumes_is_passed_over(tmp_path):
    write_volume(body(), tmp_path / "in_arterial.nii.gz")
    write_volume(Volume((body().array > 0).astype(np.uint8), GRID), tmp_path / "in_venous.nii.gz")
    (tmp_path / "in").mkdir()
    for path in tmp_path.glob("*.nii.gz"):
        path.rename(tmp_path / "in" / path.name)
    refused(InputError, "Hounsfield", tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "in_venous.nii.gz").rename(tmp_path / "in" / "kidneys.nii.gz")
    study = import_study(tmp_path / "in", tmp_path / "out")
    assert set(study.phases) == {Phase.A}
    assert any("left out" in note for note in study.notes)


def test_a_file_without_tags_needs_its_phase_named(tmp_path):
    write_volume(body(), tmp_path / "image.nii")
    refused(MissingPhaseError, "--phase A=", tmp_path / "image.nii", tmp_path / "out")
    options = ImportOptions({Phase.V: str(tmp_path / "image.nii")})
    phase = import_study(tmp_path / "image.nii", tmp_path / "out", options).phases[Phase.V]
    assert phase.overridden
    assert phase.confidence == 1.0
    assert phase.reason == "named by a person"


@pytest.mark.parametrize("selector", ["3", "arteri", str(files.uid("series", 3)), "PATH"])
def test_a_person_overrides_by_number_description_uid_or_path(tmp_path, selector):
    source = phases(tmp_path / "in")
    text = str(source / "A0003") if selector == "PATH" else selector
    study = import_study(source, tmp_path / "out", ImportOptions({Phase.V: text, Phase.D: "none"}))
    assert study.phases[Phase.V].overridden
    assert np.array_equal(study.phases[Phase.V].read().array, body(1).array)
    assert Phase.D not in study.phases
    assert Phase.A not in study.phases


def test_an_override_may_lie_outside_the_source(tmp_path):
    source = phases(tmp_path / "in", "N")
    write_volume(body(5), tmp_path / "late.nii.gz")
    study = import_study(source, tmp_path / "out", ImportOptions({Phase.V: str(tmp_path / "late.nii.gz")}))
    assert np.array_equal(study.phases[Phase.V].read().array, body(5).array)
    assert Phase.N in study.phases


def test_overrides_that_fit_nothing_or_too_much_are_refused(tmp_path):
    source = phases(tmp_path / "in", "AV")
    refused(InputError, "fits no usable series", source, tmp_path / "out", phase_overrides={Phase.A: "77"})
    refused(InputError, "more than one series", source, tmp_path / "out", phase_overrides={Phase.A: "r"})
    same = {Phase.A: "2", Phase.V: "2"}
    refused(ConfigurationError, "two phases", source, tmp_path / "out", phase_overrides=same)
    for texts in (["A"], ["X=3"], ["A="], ["A=1", "a=2"]):
        with pytest.raises(ConfigurationError):
            parse_phase_overrides(texts)


def test_the_better_of_two_series_of_a_phase_is_kept_and_the_other_noted(tmp_path):
    plain = {"SeriesDescription": "arteriell", "AcquisitionTime": "100000"}
    files.save(files.datasets(files.body(1), SeriesNumber=2, ConvolutionKernel="B70f", **plain), tmp_path / "in", "s")
    files.save(files.datasets(files.body(2), SeriesNumber=3, **plain), tmp_path / "in", "t")
    study = import_study(tmp_path / "in", tmp_path / "out")
    assert np.array_equal(study.phases[Phase.A].read().array, body(2).array)
    assert any("series 2 (2.5 mm, sharp kernel)" in note for note in study.phases[Phase.A].notes)


def test_an_earlier_examination_of_the_patient_is_left_out(tmp_path):
    source = phases(tmp_path / "in", "AV")
    old = files.datasets(files.body(9), SeriesNumber=8, SeriesDescription="arteriell", StudyDate="20180101")
    for ds in old:
        ds.StudyInstanceUID = files.uid("earlier")
    files.save(old, source, prefix="old")
    study = import_study(source, tmp_path / "out")
    assert study.phases[Phase.A].series == "series 2"
    assert any("another examination" in note for note in study.notes)


def test_a_missing_slice_is_refused_or_recorded(tmp_path):
    source = phases(tmp_path / "in", "AV")
    (source / "A0004").unlink()
    refused(SliceGapError, r"Series 2 lacks 1 slice at z = 110\.0 mm", source, tmp_path / "out")
    study = import_study(source, tmp_path / "out", ImportOptions(allow_gaps=True))
    assert any("1 missing slice at z = 110.0" in note for note in study.phases[Phase.A].notes)
    assert study.phases[Phase.V].notes == ()


def test_an_incomplete_phase_can_be_left_out_by_name(tmp_path):
    source = phases(tmp_path / "in", "AV")
    (source / "A0004").unlink()
    study = import_study(source, tmp_path / "out", ImportOptions({Phase.A: "none"}))
    assert set(study.phases) == {Phase.V}


def test_a_complete_reconstruction_replaces_an_incomplete_one(tmp_path):
    plain = {"SeriesDescription": "arteriell", "AcquisitionTime": "100000"}
    source = files.save(files.datasets(files.body(1), SeriesNumber=2, **plain), tmp_path / "in", "s")
    files.save(files.datasets(files.body(2), SeriesNumber=3, ConvolutionKernel="B70f", **plain), source, "t")
    (source / "s0005").unlink()
    phase = import_study(source, tmp_path / "out").phases[Phase.A]
    assert phase.series == "series 3"
    assert any("missing or uneven" in note for note in phase.notes)


def nothing(folder):
    folder.mkdir()
    (folder / "a.txt").write_text("x")


def only_localiser(folder):
    files.save(files.datasets(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[:2], folder)


def only_coronal(folder):
    places = [(x, y + 2.5 * k, 100.0) for k, (x, y, _) in enumerate(files.positions())]
    files.save(files.datasets(places=places, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), folder)


def mr(folder):
    items = files.datasets(Modality="MR", SOPClassUID=MRImageStorage)
    for ds in items:
        ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    files.save(items, folder)


def two_patients(folder):
    phases(folder, "A")
    files.save(files.datasets(SeriesNumber=9, PatientID="ID-0815", PatientName="OTHER^ONE"), folder, "o")


def only_native(folder):
    phases(folder, "N")


def truncated(folder):
    path = phases(folder, "A") / "A0002"
    path.write_bytes(path.read_bytes()[:-100])


def huge(folder):
    files.save([files.dataset(1, files.ORIGIN, files.body()[0], Rows=65000, Columns=65000)], folder)


def duplicate(folder):
    phases(folder, "A")
    files.save(files.datasets(files.body(44), SeriesNumber=2, SeriesDescription="arteriell")[3:4], folder, "d")


def apart(folder):
    places = [(x, y, z + 900) for x, y, z in files.positions()]
    phases(folder, "A")
    files.save(files.datasets(places=places, SeriesNumber=5, SeriesDescription="venous"), folder, "p")


def truncated_nifti(folder):
    folder.mkdir()
    write_volume(body(), folder / "arterial.nii")
    content = (folder / "arterial.nii").read_bytes()
    (folder / "arterial.nii").write_bytes(content[: len(content) // 2])


def picture(folder):
    folder.mkdir()
    write_volume(Volume((body().array % 256).astype(np.float32) / 255, GRID), folder / "arterial.nii")


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (nothing, NoReadableSeriesError, "No CT series"),
        (only_localiser, NoReadableSeriesError, "only a localiser"),
        (only_coronal, NoReadableSeriesError, "no axial CT series"),
        (mr, ModalityError, "modality MR"),
        (two_patients, MixedPatientsError, "more than one patient"),
        (only_native, MissingPhaseError, "non-contrast"),
        (truncated, InputError, "File 3 of 10 .* is a truncated"),
        (huge, GeometryError, "more than can be held"),
        (duplicate, SliceGapError, "two different slices"),
        (apart, GridMismatchError, "does not overlap"),
        (truncated_nifti, InputError, "truncated"),
        (picture, InputError, "Hounsfield"),
    ],
)
def test_bad_input_is_one_message_and_nothing_is_written(tmp_path, make, error, match):
    make(tmp_path / "in")
    refused(error, match, tmp_path / "in", tmp_path / "out")


def test_targets_that_hold_something_else_are_refused_and_studies_replaced(tmp_path):
    source = phases(tmp_path / "in", "A")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    refused(OutputError, "not empty", source, tmp_path / "full")
    refused(OutputError, "source folder itself", source, source)
    (tmp_path / "out").mkdir()
    first = import_study(source, tmp_path / "out")
    (first.folder / "extra").touch()
    again = import_study(phases(tmp_path / "other", "AV"), tmp_path / "out")
    assert set(again.phases) == {Phase.A, Phase.V}
    assert not (again.folder / "extra").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "in", "other", "out"]
    refused(InputError, "already imported", again.folder, tmp_path / "next")


def test_a_failed_import_keeps_the_earlier_study(tmp_path):
    study = import_study(phases(tmp_path / "in", "A"), tmp_path / "out")
    two_patients(tmp_path / "bad")
    refused(MixedPatientsError, "patient", tmp_path / "bad", tmp_path / "out")
    assert read_study(tmp_path / "out") == study


@pytest.mark.parametrize("at", [0.0, 0.15, 0.3, 0.6, 0.97])
def test_cancelling_leaves_nothing_behind(tmp_path, at):
    source = phases(tmp_path / "in", "AV")

    def stop(fraction, words):
        if fraction >= at:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        import_study(source, tmp_path / "out", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_progress_rises_from_0_to_1(tmp_path):
    seen = []
    import_study(
        phases(tmp_path / "in", "AV"), tmp_path / "out", progress=lambda fraction, words: seen.append(fraction)
    )
    assert seen == sorted(seen)
    assert 0.0 <= seen[0] < 0.2
    assert 0.95 < seen[-1] <= 1.0


def test_the_command_prints_a_table_or_json(tmp_path, capsys):
    source = phases(tmp_path / "in", "AV")
    assert cli.main(["import", str(source), "--out", str(tmp_path / "out")]) == 0
    table = capsys.readouterr().out
    assert "series 2" in table
    assert "24 x 20 x 10" in table
    assert "'arteriell'" in table
    assert cli.main(["import", str(source), "--out", str(tmp_path / "out"), "--phase", "A=3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [item["phase"] for item in document["phases"]] == ["A"]


def test_the_command_exits_2_with_one_message(tmp_path, capsys):
    only_localiser(tmp_path / "in")
    assert cli.main(["import", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    messages = [line for line in captured.err.splitlines() if not line.startswith("[")]  # without progress
    assert len(messages) == 1
    assert messages[0].startswith("renalclip: ")


def test_an_unreadable_folder_is_a_message(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("the superuser may read everything")
    source = phases(tmp_path / "in", "A")
    source.chmod(0)
    try:
        refused(InputError, "cannot be read", source, tmp_path / "out")
    finally:
        source.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "letter"),
    [("ircad17_ct", "A"), ("cptacpda_C3L-00189_ct", "V"), ("acrinflt001_noncontrast_ct_crop", None)],
)
def test_real_ct_without_tags_is_recognised_by_its_enhancement(tmp_path, name, letter):
    source = REAL / f"{name}.nii.gz"
    if not source.is_file():
        pytest.skip(f"the real CT {name} is not on this machine")
    os.symlink(source, tmp_path / "image.nii.gz")
    if letter is None:
        with pytest.raises(RenalCLIPError, match="non-contrast"):
            import_study(tmp_path / "image.nii.gz", tmp_path / "out")
        return
    study = import_study(tmp_path / "image.nii.gz", tmp_path / "out")
    assert list(study.phases) == [Phase(letter)]
    assert any("enhancement alone" in note for note in study.phases[Phase(letter)].notes)
