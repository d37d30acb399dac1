"""Contrast phases: words of descriptions, times, order, enhancement, and how the kinds of evidence join."""

import numpy as np
import pytest

from RenalCLIPCore.imaging.enhancement import Enhancement, phase_scores, recognise_by_enhancement
from RenalCLIPCore.imaging.phase_words import phases_named
from RenalCLIPCore.imaging.phases import PhaseClues, PhaseGuess, recognise
from RenalCLIPCore.imaging.study import Phase
from RenalCLIPCore.imaging.volume import Geometry, Volume

N, A, V, D = Phase.N, Phase.A, Phase.V, Phase.D


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("Abdomen arteriell 1.5 B30f", A), ("ART_1MM", A), ("Abd late arterial 5.0", A), ("Spätarteriell", A),
        ("corticomedullary", A), ("kortikomedullär", A), ("TEMPS ARTERIEL", A), ("动脉期 1.0", A), ("肾皮髓质期", A),
        ("Abd 35s", A), ("CTA Abdomen", A),
        ("Portalvenös 5mm", V), ("PV phase", V), ("venous", V), ("Nephrographic 100s", V), ("veineux", V),
        ("portale", V), ("门静脉期", V), ("静脉期", V), ("实质期", V), ("Abd 70 sec", V),
        ("delayed 5 min", D), ("5 min", D), ("excretory", D), ("Spätphase", D), ("tardif", D), ("CT Urogram", D),
        ("Ausscheidungsphase", D), ("延迟期", D), ("排泄期", D), ("late phase", D),
        ("nativ", N), ("o. KM Abdomen", N), ("ohne KM", N), ("plain", N), ("NON CON", N), ("W/O CONTRAST", N),
        ("unenhanced", N), ("C- 5.0", N), ("sans injection", N), ("CT平扫5mm", N), ("precontrast", N),
        ("A", A), ("case_00001_V", V),
    ],
)  # fmt: skip
def test_words_for_phases(text, phase):
    assert list(phases_named(text)) == [phase]


@pytest.mark.parametrize("text", ["Abdomen 5.0 B30s", "post contrast", "Abdomen mit KM", "Thorax", "", "增强"])
def test_words_that_name_no_phase(text):
    assert phases_named(text) == {}


def test_descriptions_decide_with_high_confidence_and_say_why():
    (guess,) = recognise([PhaseClues(description="Abdomen arteriell")])
    assert guess.phase is A
    assert guess.confidence > 0.9
    assert "'arteriell'" in guess.reason
    assert "Abdomen" not in guess.reason


def test_nothing_known_is_no_phase():
    (guess,) = recognise([PhaseClues()])
    assert guess.phase is None
    assert guess.confidence == pytest.approx(0.25)


@pytest.mark.parametrize(("delay", "phase"), [(-40, N), (30, A), (80, V), (300, D)])
def test_the_delay_after_the_injection_decides(delay, phase):
    (guess,) = recognise([PhaseClues(delay_s=delay)])
    assert guess.phase is phase


def test_a_contradiction_lowers_the_confidence_and_is_noted():
    (alone,) = recognise([PhaseClues(description="arterial")])
    (against,) = recognise([PhaseClues(description="arterial", delay_s=300)])
    assert against.confidence < alone.confidence - 0.1
    assert any("Contradiction" in note for note in against.notes)


def test_order_and_intervals_decide_where_words_are_missing():
    clues = [
        PhaseClues(time_s=0.0, contrast=False),
        PhaseClues(time_s=100.0, contrast=True),
        PhaseClues(time_s=150.0, contrast=True),
        PhaseClues(time_s=400.0, contrast=True),
    ]
    guesses = recognise(clues)
    assert [guess.phase for guess in guesses] == [N, A, V, D]
    assert all("order" in guess.reason for guess in guesses[1:])
    assert [guess.phase for guess in recognise(clues[::-1])] == [D, V, A, N]


def test_a_named_phase_helps_its_neighbours():
    clues = [PhaseClues(time_s=0.0, contrast=True), PhaseClues(time_s=45.0, contrast=True)]
    free = recognise(clues)[1]
    fixed = recognise(clues, fixed={0: A})[1]
    assert fixed.phase is V
    assert fixed.confidence > free.confidence


def test_the_protocol_counts_less_than_the_description():
    clues = PhaseClues(description="venous", protocol="Abdomen arterial")
    assert recognise([clues])[0].phase is V
    assert recognise([PhaseClues(protocol="Abdomen arterial")])[0].phase is A


def test_enhancement_joins_with_tags():
    seen = PhaseGuess(V, 0.8, "enhancement: aorta 150 HU", {N: 0.05, A: 0.1, V: 0.8, D: 0.05})
    (guess,) = recognise([PhaseClues(contrast=True)], [seen])
    assert guess.phase is V
    assert "aorta 150 HU" in guess.reason
    (against,) = recognise([PhaseClues(description="native")], [seen])
    assert any("aorta 150 HU" in note for note in against.notes)


@pytest.mark.parametrize(
    ("aorta", "cortex", "medulla", "collecting", "phase"),
    [
        (40, 31, 31, 10, N), (42, 33, 30, 550, N), (285, 170, 72, 40, A), (300, 180, 90, 260, A),
        (160, 182, 165, 180, V), (150, 150, 138, 180, V), (100, 130, 130, 600, D), (95, 120, 122, 130, D),
        (None, 31, 30, 20, N), (None, 180, 80, 60, A), (None, 180, 170, 60, V), (40, None, None, None, N),
    ],
)  # fmt: skip
def test_rules_of_enhancement(aorta, cortex, medulla, collecting, phase):
    scores = phase_scores(Enhancement(aorta, cortex, medulla, collecting, True))
    assert sum(scores.values()) == pytest.approx(1.0)
    if (aorta, cortex) == (95, 120):  # excretion not yet visible: venous and delayed stay both possible
        assert scores[D] > 0.2
    else:
        assert max(scores, key=scores.get) is phase


def test_an_image_without_anatomy_is_no_phase():
    grid = Geometry.from_components((40, 40, 20), (3, 3, 5), (0, 0, 0), np.eye(3))
    for value in (-1000, 40):
        guess = recognise_by_enhancement(Volume(np.full(grid.size, value, np.int16), grid))
        assert guess.phase is None


def abdomen(aorta, cortex, medulla, pelvis, tissue=30):
    """A drawn abdomen on a 2 mm grid: body, spine with canal, aorta, two kidneys; and its label map."""
    grid = Geometry.from_components((160, 120, 44), (2, 2, 4), (-160, -120, 0), np.eye(3))
    x, y, z = np.moveaxis(grid.lps(np.argwhere(np.ones(grid.size, dtype=bool))).reshape(*grid.size, 3), -1, 0)
    z = z - 86
    hu = np.full(grid.size, -1000.0)
    hu[(x / 150) ** 2 + (y / 105) ** 2 < 1] = -100
    hu[(np.abs(x) < 60) & (y > 10) & (np.hypot(x / 60, (y - 55) / 45) < 1)] = tissue + 20
    hu[np.hypot(x, y - 38) < 20] = 190
    hu[np.hypot(x, y - 65) < 15] = 350
    hu[np.hypot(x, y - 65) < 9] = 25
    hu[np.hypot(x, y - 4) < 18] = -100
    hu[np.hypot(x - 6, y - 4) < 10] = aorta
    labels = np.zeros(grid.size, dtype=np.uint8)
    for side in (-1, 1):
        shape = np.sqrt(((x - 62 * side) / 28) ** 2 + ((y - 40) / 26) ** 2 + (z / 55) ** 2)
        hu[shape < 1.12] = -100
        hu[shape < 1] = cortex
        hu[shape < 0.75] = medulla
        hu[shape < 0.3] = pelvis
        labels[(shape < 1) & (shape >= 0.3)] = 1
    generator = np.random.default_rng(0)
    return Volume((hu + generator.normal(0, 8, grid.size)).astype(np.int16), grid), Volume(labels, grid)


@pytest.mark.parametrize(
    ("values", "phase"),
    [((40, 31, 31, 8), N), ((290, 175, 75, 8), A), ((160, 182, 165, 14), V), ((100, 130, 130, 600), D)],
)
@pytest.mark.parametrize("with_labels", [True, False])
def test_enhancement_is_measured_with_and_without_masks(values, phase, with_labels):
    volume, labels = abdomen(*values)
    guess = recognise_by_enhancement(volume, labels if with_labels else None)
    assert guess.phase is phase
    assert guess.confidence >= 0.6
    assert "aorta" in guess.reason


def test_enhancement_does_not_depend_on_how_the_image_is_stored():
    volume, _ = abdomen(290, 175, 75, 8)
    plain = recognise_by_enhancement(volume)
    directions = volume.geometry.direction_matrix * (-1.0, -1.0, 1.0)
    corner = volume.geometry.lps([volume.geometry.size[0] - 1, volume.geometry.size[1] - 1, 0])
    grid = Geometry.from_components(volume.geometry.size, volume.geometry.spacing_mm, corner, directions)
    turned = recognise_by_enhancement(Volume(volume.array[::-1, ::-1].copy(), grid))
    assert turned.scores == pytest.approx(plain.scores)
