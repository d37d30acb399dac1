"""Augmentation: one interpolation equals the parts applied one by one at the coordinates."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from RenalCLIPCore.cohort.augmentation import (
    Augmentation,
    Parameters,
    _normalised_affine,
    _sample,
    augment,
    centre_crop,
    draw_parameters,
)

SHAPE = (6, 12, 10)
SOURCE = (6, 16, 14)


def images(seed=0, count=2):
    return torch.rand(count, 1, *SOURCE, generator=torch.Generator().manual_seed(seed))


def parameters(count=2, **values):
    neutral = {
        "shift_mm": torch.zeros(count, 3),
        "rotation_rad": torch.zeros(count, 3),
        "scale": torch.ones(count, 3),
        "flip": torch.zeros(count, dtype=torch.bool),
        "slices_lost": torch.zeros(count, 2, dtype=torch.long),
        "intensity_scale": torch.ones(count),
        "intensity_shift": torch.zeros(count),
        "gamma": torch.ones(count),
    }
    given_ = {name: torch.as_tensor(value) for name, value in values.items()}
    return Parameters(**{**neutral, **{n: v.expand_as(neutral[n]).to(neutral[n].dtype) for n, v in given_.items()}})


def naive(image, shift, angles, scale, flip):
    """Walk over the output voxels: flip, magnify, rotate about x, y, z in turn, shift, and look up."""
    out = np.zeros(SHAPE)
    spacing = np.array([1.0, 1.0, 5.0])
    for z, x, y in np.ndindex(SHAPE):
        mm = (np.array([x, y, z]) - (np.array([SHAPE[1], SHAPE[2], SHAPE[0]]) - 1) / 2) * spacing
        mm[0] = -mm[0] if flip else mm[0]
        mm = mm / scale
        for axis, angle in enumerate(angles):
            a, b = [(1, 2), (2, 0), (0, 1)][axis]
            turned = mm.copy()
            turned[a] = np.cos(angle) * mm[a] - np.sin(angle) * mm[b]
            turned[b] = np.sin(angle) * mm[a] + np.cos(angle) * mm[b]
            mm = turned
        at = (mm + shift) / spacing + (np.array([SOURCE[1], SOURCE[2], SOURCE[0]]) - 1) / 2
        out[z, x, y] = map_coordinates(image, [[at[2]], [at[0]], [at[1]]], order=1, mode="grid-constant", cval=0.0)[0]
    return out


def number(low, high):
    return st.floats(low, high, allow_nan=False)


@settings(max_examples=8, deadline=None)
@given(
    shift=st.tuples(number(-3, 3), number(-3, 3), number(-6, 6)),
    angles=st.tuples(number(-0.4, 0.4), number(-0.4, 0.4), number(-0.4, 0.4)),
    scale=st.tuples(number(0.9, 1.1), number(0.9, 1.1), st.just(1.0)),
    flip=st.booleans(),
    flat=st.booleans(),
)
def test_the_single_interpolation_equals_the_parts_one_by_one(shift, angles, scale, flip, flat):
    angles = (0.0, 0.0, angles[2]) if flat else angles
    source = images()
    drawn = parameters(shift_mm=shift, rotation_rad=angles, scale=scale, flip=flip)
    expected = naive(source[0, 0].numpy(), np.array(shift), angles, np.array(scale), flip)
    np.testing.assert_allclose(augment(source, drawn, SHAPE)[0, 0].numpy(), expected, atol=2e-4)


def test_slices_that_stay_slices_are_sampled_the_same_either_way():
    source = images(1)
    drawn = parameters(shift_mm=(1.3, -2.2, 3.1), rotation_rad=(0.0, 0.0, 0.3), scale=(1.1, 0.9, 1.0), flip=True)
    slow = _sample(source, _normalised_affine(drawn, SOURCE, SHAPE), SHAPE)
    torch.testing.assert_close(augment(source, drawn, SHAPE), slow.clamp(0, 1), atol=1e-5, rtol=0)


def test_without_augmentation_it_is_the_centre_crop():
    source = images()
    drawn = draw_parameters(Augmentation.none(), [1, 2], margin_px=4)
    torch.testing.assert_close(augment(source, drawn, SHAPE), centre_crop(source, SHAPE), atol=1e-5, rtol=0)


def test_the_centre_crop_is_that_of_the_paper():
    assert centre_crop(torch.zeros(1, 1, 32, 140, 140)).shape == (1, 1, 32, 128, 128)
    ramp = torch.arange(140.0).view(1, 1, 1, 140, 1).expand(1, 1, 32, 140, 140)
    assert centre_crop(ramp)[0, 0, 0, 0, 0] == 6


def test_a_flip_mirrors_left_and_right_and_nothing_else():
    source = images()
    flipped = augment(source, parameters(flip=True), SHAPE)
    torch.testing.assert_close(flipped, centre_crop(source, SHAPE).flip(3), atol=1e-5, rtol=0)


def test_intensity_is_scaled_shifted_clipped_and_then_raised():
    source = images()
    drawn = parameters(intensity_scale=1.1, intensity_shift=-0.2, gamma=1.5)
    expected = (centre_crop(source, SHAPE) * 1.1 - 0.2).clamp(0, 1) ** 1.5
    torch.testing.assert_close(augment(source, drawn, SHAPE), expected, atol=1e-4, rtol=0)


def test_a_sample_is_augmented_the_same_in_any_batch():
    augmentation = Augmentation(flip_probability=0.5, jitter_mm=2.0)
    together = draw_parameters(augmentation, [5, 6, 7], 12)
    alone = draw_parameters(augmentation, [6], 12)
    for name in vars(together):
        torch.testing.assert_close(getattr(together, name)[1], getattr(alone, name)[0])


def test_draws_fill_the_documented_ranges_and_no_more():
    drawn = draw_parameters(Augmentation(flip_probability=0.5), range(3000), 12)
    assert drawn.shift_mm[:, :2].abs().max() <= 16
    assert drawn.shift_mm[:, :2].abs().max() > 14
    assert (drawn.shift_mm[:, 2] == 0).all()
    assert drawn.rotation_rad.abs().amax(0).tolist() == pytest.approx([np.pi / 10] * 3, abs=0.002)
    assert (drawn.scale.amin(), drawn.scale.amax()) == pytest.approx((0.9, 1.1), abs=0.002)
    assert (drawn.intensity_scale.amin(), drawn.intensity_scale.amax()) == pytest.approx((0.9, 1.1), abs=0.002)
    assert (drawn.intensity_shift.amin(), drawn.intensity_shift.amax()) == pytest.approx((-0.1, 0.1), abs=0.002)
    assert (drawn.gamma.amin(), drawn.gamma.amax()) == pytest.approx((0.5, 2.0), abs=0.01)
    assert (drawn.gamma != 1).float().mean() == pytest.approx(0.5, abs=0.04)
    assert drawn.flip.float().mean() == pytest.approx(0.5, abs=0.04)


def test_lost_slices_are_empty_as_padding_is():
    source = images() * 0.5 + 0.4
    cut = augment(source, parameters(slices_lost=(1, 2)), SHAPE)
    assert (cut[:, :, :1] == 0).all()
    assert (cut[:, :, 4:] == 0).all()
    torch.testing.assert_close(cut[:, :, 1:4], centre_crop(source, SHAPE)[:, :, 1:4], atol=1e-5, rtol=0)


def test_half_of_the_ends_lose_slices_and_up_to_the_limit():
    lost = draw_parameters(Augmentation(slices_lost=4), range(3000), 12).slices_lost
    assert (lost > 0).float().mean() == pytest.approx(0.4, abs=0.03)
    assert lost.unique().tolist() == [0, 1, 2, 3, 4]
    assert not draw_parameters(Augmentation(), range(100), 12).slices_lost.any()


def test_image_text_defaults_never_flip():
    assert not draw_parameters(Augmentation(), range(500), 12).flip.any()


def test_unknown_augmentation_keys_are_refused():
    with pytest.raises(ValueError, match="Extra inputs"):
        Augmentation(rotation=3)


def test_the_random_crop_reaches_both_ends_of_the_margin():
    crops = draw_parameters(Augmentation(translation_px=0), range(600), 12).shift_mm[:, :2]
    assert crops.unique().tolist() == list(range(-6, 7))


def test_the_centre_jitters_along_all_three_axes():
    still = Augmentation(crop=False, translation_px=0, jitter_mm=2.0)
    assert draw_parameters(still, range(3000), 12).shift_mm.std(dim=0).tolist() == pytest.approx([2.0] * 3, rel=0.06)
