"""A hand-checkable kidney and patients for the phantom's tests."""

from dataclasses import replace

import pytest

from RenalCLIPCore.phantom.anatomy import draw_patient
from RenalCLIPCore.phantom.patient import Kidney
from RenalCLIPCore.phantom.shapes import Ellipsoid, Tube
from Testing.Core.phantom.phantom_toys import sphere

AXES = ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
CENTRE = (60.0, 30.0, 0.0)


@pytest.fixture
def round_kidney():
    """A left kidney: sphere of radius 50 whose sinus is a sphere of radius 30 around the hilar surface point."""
    stub = Tube(((0.0, 30.0, 0.0), (10.0, 30.0, 0.0)), 2.0)
    return Kidney(
        "left",
        Ellipsoid(CENTRE, (50.0, 50.0, 50.0), AXES),
        Ellipsoid((10.0, 30.0, 0.0), (30.0, 30.0, 30.0), AXES),
        (Ellipsoid((20.0, 30.0, 0.0), (5.0, 5.0, 5.0), AXES),),
        stub,
        stub,
        stub,
        7.0,
        (6.0, 0.0, 4.0, 0.0),
    )


@pytest.fixture(scope="session")
def patient():
    return draw_patient(11)


@pytest.fixture(scope="session")
def plain_patient():
    """A patient whose only lesion is a sphere of radius 14 mm at the lateral surface of the left kidney."""
    drawn = draw_patient(12, lesion=False)
    x, y, z = drawn.kidney("left").outline.centre_lps_mm
    return replace(drawn, lesions=(sphere((x + 24.0, y, z + 10.0), 14.0),))
