"""Augmentation of regions of interest: parameters are drawn first, per sample, and then applied.

All spatial parts (crop, translation, rotation, scaling, flip, jitter of the centre) are one affine map and one
interpolation. Numbers: paper, Supplementary Table 40.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

Shape = tuple[int, int, int]

INPUT_SHAPE: Shape = (32, 128, 128)
SPACING_MM = (1.0, 1.0, 5.0)

Angle = Annotated[float, Field(ge=0, le=math.pi)]


class Augmentation(BaseModel):
    """How far samples are changed in training. ``Augmentation.none()`` leaves the centre crop.

    Attributes:
        crop: Random position of the 128 x 128 crop (else the centre crop).
        translation_px: Largest shift along x and y, in voxels of 1 mm.
        rotation_rad: Largest rotation about the axes x, y and z (paper: pi / 10 each). With 0 about x and y the slices
            stay slices, and interpolation is several times faster.
        scaling: Largest relative change of size along x and y.
        flip_probability: Of a left-right flip; only for tasks that do not read the side.
        jitter_mm: Standard deviation of the centre along x, y, z, for centres that come from a segmentation.
        slices_lost: Largest number of slices emptied at an end, as where a scan ends early; most often none (not
            in the paper).
        intensity_scaling: Largest relative change of intensity.
        intensity_shift: Largest shift of intensity, in units of the window.
        gamma: Largest exponent; its inverse is the smallest.
        gamma_probability: Share of samples that get a gamma.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop: bool = True
    translation_px: float = Field(default=10.0, ge=0)
    rotation_rad: tuple[Angle, Angle, Angle] = (math.pi / 10, math.pi / 10, math.pi / 10)
    scaling: float = Field(default=0.1, ge=0, lt=1)
    flip_probability: float = Field(default=0.0, ge=0, le=1)
    jitter_mm: float = Field(default=0.0, ge=0)
    slices_lost: int = Field(default=0, ge=0)
    intensity_scaling: float = Field(default=0.1, ge=0, lt=1)
    intensity_shift: float = Field(default=0.1, ge=0)
    gamma: float = Field(default=2.0, ge=1)
    gamma_probability: float = Field(default=0.5, ge=0, le=1)

    @staticmethod
    def none() -> Augmentation:
        """The one that changes nothing."""
        return Augmentation(
            crop=False,
            translation_px=0,
            rotation_rad=(0, 0, 0),
            scaling=0,
            intensity_scaling=0,
            intensity_shift=0,
            gamma=1,
            gamma_probability=0,
        )


@dataclass(frozen=True, eq=False)
class Parameters:
    """What was drawn for B samples.

    Attributes:
        shift_mm: (B, 3) position, relative to the region's centre and along (x, y, z), that becomes the new centre.
        rotation_rad: (B, 3) rotation about x, then y, then z.
        scale: (B, 3) magnification along (x, y, z).
        flip: (B,) whether left and right are exchanged.
        slices_lost: (B, 2) slices emptied at the lower and the upper end.
        intensity_scale: (B,) factor.
        intensity_shift: (B,) summand, after the factor.
        gamma: (B,) exponent, after the summand and clipping to [0, 1].
    """

    shift_mm: Tensor
    rotation_rad: Tensor
    scale: Tensor
    flip: Tensor
    slices_lost: Tensor
    intensity_scale: Tensor
    intensity_shift: Tensor
    gamma: Tensor


def draw_parameters(augmentation: Augmentation, seeds: Sequence[int], margin_px: int) -> Parameters:
    """Draw the parameters of one sample per seed; a sample's draw depends on its own seed only.

    Args:
        augmentation: How far samples are changed.
        seeds: One per sample.
        margin_px: Voxels that the stored region exceeds the crop by along x and y.
    """
    rows = torch.stack([_draw(augmentation, seed, margin_px) for seed in seeds])
    return Parameters(
        shift_mm=rows[:, 0:3],
        rotation_rad=rows[:, 3:6],
        scale=rows[:, 6:9],
        flip=rows[:, 9] > 0.5,
        slices_lost=rows[:, 13:15].long(),
        intensity_scale=rows[:, 10],
        intensity_shift=rows[:, 11],
        gamma=rows[:, 12],
    )


def _draw(a: Augmentation, seed: int, margin_px: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    # every number is drawn whether it is used or not, so that switching one part off leaves the others as they were
    uniform = torch.rand(16, generator=generator)
    jitter = torch.randn(3, generator=generator) * a.jitter_mm
    signed = 2 * uniform - 1
    crop = torch.floor(uniform[0:2] * (margin_px + 1)) - margin_px // 2 if a.crop else torch.zeros(2)
    shift = torch.cat([crop + signed[2:4] * a.translation_px, torch.zeros(1)]) + jitter
    scale = torch.cat([1 + signed[7:9] * a.scaling, torch.ones(1)])
    gamma = a.gamma ** float(signed[12]) if float(uniform[13]) < a.gamma_probability else 1.0
    rest = [
        float(uniform[9] < a.flip_probability),
        1 + float(signed[10]) * a.intensity_scaling,
        float(signed[11]) * a.intensity_shift,
        gamma,
        *torch.floor(signed[14:16].clamp(min=0) * (a.slices_lost + 1)).tolist(),
    ]
    return torch.cat([shift, signed[4:7] * torch.tensor(a.rotation_rad), scale, torch.tensor(rest)])


def augment(images: Tensor, parameters: Parameters, shape: Shape = INPUT_SHAPE) -> Tensor:
    """Apply drawn parameters.

    Args:
        images: (B, 1, z, x, y) regions in [0, 1], 1 x 1 x 5 mm.
        parameters: One row per sample.
        shape: Size (z, x, y) of the result.

    Returns:
        (B, 1, *shape) in [0, 1]; positions outside the region are 0 (as padding is).
    """
    theta = _normalised_affine(parameters, images.shape[2:], shape).to(images)
    keeps_slices = not bool(parameters.rotation_rad[:, :2].any())
    sampled = _sample_slices(images, theta, shape) if keeps_slices else _sample(images, theta, shape)
    for number, (lower, upper) in enumerate(parameters.slices_lost.tolist()):
        sampled[number, :, :lower] = 0
        sampled[number, :, shape[0] - upper :] = 0
    scale, shift = (v.to(images).view(-1, 1, 1, 1, 1) for v in (parameters.intensity_scale, parameters.intensity_shift))
    sampled.mul_(scale).add_(shift).clamp_(0, 1)
    for number in torch.nonzero(parameters.gamma != 1).flatten().tolist():
        sampled[number].pow_(float(parameters.gamma[number]))
    return sampled


def augment_parts(images: Tensor, parameters: Parameters, shape: Shape, part: int) -> Tensor:
    """As :func:`augment`, so many samples at a time: the sampling grids take three times the memory of the images."""
    if len(images) <= part:
        return augment(images, parameters, shape)
    result = images.new_empty((len(images), 1, *shape))
    for first in range(0, len(images), part):
        chosen = slice(first, first + part)
        drawn = Parameters(**{name: values[chosen] for name, values in vars(parameters).items()})
        result[chosen] = augment(images[chosen], drawn, shape)
    return result


def centre_crop(images: Tensor, shape: Shape = INPUT_SHAPE) -> Tensor:
    """The middle (B, 1, *shape) of regions (B, 1, z, x, y): what the network sees at inference."""
    start = [(images.shape[axis + 2] - shape[axis]) // 2 for axis in range(3)]
    z, x, y = (slice(first, first + n) for first, n in zip(start, shape, strict=True))
    return images[:, :, z, x, y]


def affine_mm(parameters: Parameters) -> Tensor:
    """(B, 3, 4) maps from output to input positions, in mm along (x, y, z) relative to either centre.

    An output position is flipped, divided by the magnification, rotated, and moved by the shift.
    """
    sin, cos = parameters.rotation_rad.sin(), parameters.rotation_rad.cos()
    rotation = _about(2, sin, cos) @ _about(1, sin, cos) @ _about(0, sin, cos)
    flip = torch.ones_like(parameters.scale)
    flip[:, 0] = torch.where(parameters.flip, -1.0, 1.0)
    linear = rotation @ torch.diag_embed(flip / parameters.scale)
    return torch.cat([linear, parameters.shift_mm[:, :, None]], dim=2)


def _sample(images: Tensor, theta: Tensor, shape: Shape) -> Tensor:
    grid = functional.affine_grid(theta, [len(images), 1, *shape], align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _sample_slices(images: Tensor, theta: Tensor, shape: Shape) -> Tensor:
    """Equal to :func:`_sample` where z depends on z alone: every slice bilinearly, then linearly along z."""
    depth, count = images.shape[2], len(images)
    grid = functional.affine_grid(theta[:, :2, [0, 1, 3]], [count, depth, *shape[1:]], align_corners=False)
    slices = functional.grid_sample(images[:, 0], grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    centres = (2 * torch.arange(shape[0]).to(theta) + 1) / shape[0] - 1
    at = ((theta[:, 2, 2, None] * centres + theta[:, 2, 3, None] + 1) * depth - 1) / 2
    distance = (at[:, :, None] - torch.arange(depth).to(theta)).abs()
    if shape[0] == depth and bool((distance.diagonal(dim1=1, dim2=2) < 1e-4).all()):
        return slices[:, None]
    mixed = torch.bmm((1 - distance).clamp_(min=0), slices.flatten(2))
    return mixed.view(count, 1, *shape)


def _about(axis: int, sin: Tensor, cos: Tensor) -> Tensor:
    """(B, 3, 3) right-handed rotations about one axis of (x, y, z)."""
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = torch.eye(3).repeat(len(sin), 1, 1)
    matrix[:, first, first] = matrix[:, second, second] = cos[:, axis]
    matrix[:, second, first] = sin[:, axis]
    matrix[:, first, second] = -sin[:, axis]
    return matrix


def _normalised_affine(parameters: Parameters, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """(B, 3, 4) in PyTorch's coordinates: [-1, 1] from face to face, ordered (y, x, z) for tensors (z, x, y)."""
    spacing = torch.tensor(SPACING_MM)
    half_source = spacing * torch.tensor([source[1], source[2], source[0]]) / 2
    half_target = spacing * torch.tensor([target[1], target[2], target[0]]) / 2
    affine = affine_mm(parameters)
    affine = affine / half_source[None, :, None]
    affine[:, :, :3] = affine[:, :, :3] * half_target[None, None, :]
    order = [1, 0, 2]
    return affine[:, order][:, :, [*order, 3]]
