"""CT-CLIP's image encoder (Hamamci et al. 2024): CT-ViT and the projection to the shared space.

Tensor names are those of the public checkpoint. 176,885,144 parameters, of which the projection has 151 million: it
sees every patch of a slice, so slices are always 480 x 480 pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.1
SCALE = 8.0


class GammaNorm(nn.Module):
    """Layer norm whose shift is fixed at zero."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(size))
        self.register_buffer("beta", torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) -> the same."""
        return functional.layer_norm(x, x.shape[-1:], self.gamma, self.get_buffer("beta"))


class PositionConvolution(nn.Module):
    """Tells tokens their place: a depthwise convolution that looks back in slices."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.dsconv = nn.Conv3d(size, size, 3, groups=size)

    def forward(self, x: Tensor, grid: tuple[int, int, int, int]) -> Tensor:
        """(rows, tokens, size) -> the same; the tokens are laid out as (B, slices, x, y) in memory order.

        For attention over slices, whose tokens stand in another order, the public code lays them out in the same way,
        and its weights were trained with it.
        """
        laid_out = x.reshape(*grid, -1).movedim(-1, 1)
        found = self.dsconv(functional.pad(laid_out, (1, 1, 1, 1, 2, 0)))
        return found.movedim(1, -1).reshape(x.shape)


class CosineAttention(nn.Module):
    """Attention by cosine with learnt scales. Keys and values are made from the states before the norm."""

    def __init__(self, size: int, heads: int, head_size: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_size
        self.norm = GammaNorm(size)
        self.context_norm = GammaNorm(size)
        self.null_kv = nn.Parameter(torch.zeros(heads, 0, head_size))
        self.to_q = nn.Linear(size, inner, bias=False)
        self.to_kv = nn.Linear(size, 2 * inner, bias=False)
        self.q_scale = nn.Parameter(torch.ones(head_size))
        self.k_scale = nn.Parameter(torch.ones(head_size))
        self.to_out = nn.Linear(inner, size, bias=False)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """(rows, tokens, size), bias (heads, tokens, tokens) -> (rows, tokens, size)."""
        query = self._split(self.to_q(self.norm(x)))
        key, value = (self._split(part) for part in self.to_kv(x).chunk(2, dim=-1))
        query = functional.normalize(query, dim=-1) * self.q_scale
        key = functional.normalize(key, dim=-1) * self.k_scale
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=SCALE)
        return self.to_out(found.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class GatedUnit(nn.Module):
    """The first half times the GELU of the second."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., 2n) -> (..., n)."""
        value, gate = x.chunk(2, dim=-1)
        return functional.gelu(gate) * value


class CtTransformer(nn.Module):
    """Layers of position, attention and feed-forward, each added to its input."""

    def __init__(self, size: int, depth: int, heads: int, head_size: int) -> None:
        super().__init__()
        inner = int(size * 8 / 3)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "0": PositionConvolution(size),
                    "1": CosineAttention(size, heads, head_size),
                    "3": nn.Sequential(
                        nn.LayerNorm(size),
                        nn.Linear(size, 2 * inner, bias=False),
                        GatedUnit(),
                        nn.Dropout(0.0),
                        nn.Linear(inner, size, bias=False),
                    ),
                }
            )
            for _ in range(depth)
        )
        self.norm_out = GammaNorm(size)

    def forward(self, x: Tensor, grid: tuple[int, int, int, int], bias: Tensor | None = None) -> Tensor:
        """(rows, tokens, size) -> the same."""
        for layer in self.layers:
            parts = dict(layer.named_children())
            x = parts["0"](x, grid) + x
            x = parts["1"](x, bias) + x
            x = parts["3"](x) + x
        return self.norm_out(x)


class OffsetBias(nn.Module):
    """What attention adds for the offset between two patches of a slice."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.net = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(2, size), nn.LeakyReLU(SLOPE)),
                nn.Sequential(nn.Linear(size, size), nn.LeakyReLU(SLOPE)),
                nn.Linear(size, heads),
            ]
        )

    def forward(self, side: int) -> Tensor:
        """(heads, side * side, side * side); every offset is computed once."""
        last: Tensor = next(self.parameters())
        steps = torch.arange(1 - side, side, device=last.device, dtype=torch.float32)
        offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
        values = offsets.sign() * (offsets.abs() + 1).log()
        for layer in self.net:
            values = layer(values)
        row = torch.arange(side, device=last.device)
        apart = row[:, None] - row[None, :] + side - 1
        # (x, y) of the first patch, (x, y) of the second
        table = values[apart[:, None, :, None], apart[None, :, None, :]]
        return table.flatten(2, 3).flatten(0, 1).permute(2, 0, 1)


class Codebook(nn.Module):
    """The nearest of the learnt codes by cosine; gradients pass as if nothing had been replaced.

    The codes stay as they are in fine-tuning (the public training code moves them by a running mean).
    """

    def __init__(self, codes: int, size: int) -> None:
        super().__init__()
        self.register_buffer("embed", torch.zeros(1, codes, size))

    def draw(self, generator: torch.Generator | None) -> None:
        """Initial codes: unit vectors in random directions."""
        codes = self.get_buffer("embed")
        codes.copy_(functional.normalize(torch.randn(codes.shape, generator=generator), dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) -> the same."""
        codes = self.get_buffer("embed")[0]
        nearest = codes[(functional.normalize(x, dim=-1) @ functional.normalize(codes, dim=-1).T).argmax(dim=-1)]
        return x + (nearest - x).detach() if self.training else nearest


class PatchEmbedding(nn.ModuleDict):
    """Norm, projection, norm of a patch's voxels."""

    def __init__(self, voxels: int, size: int) -> None:
        super().__init__({"1": nn.LayerNorm(voxels), "2": nn.Linear(voxels, size), "3": nn.LayerNorm(size)})

    def forward(self, x: Tensor) -> Tensor:
        """(..., voxels) -> (..., size)."""
        return self["3"](self["2"](self["1"](x)))


class CtVit(nn.Module):
    """Patches of slices -> tokens: attention within slices, then across them, then the codebook."""

    def __init__(self, size: int, patch: int, slices: int, depth: int, heads: int, head_size: int, codes: int) -> None:
        super().__init__()
        self.patch, self.slices = patch, slices
        area = patch * patch
        self.spatial_rel_pos_bias = OffsetBias(size, heads)
        self.to_patch_emb_first_frame = PatchEmbedding(area, size)
        self.to_patch_emb = PatchEmbedding(area * slices, size)
        self.enc_spatial_transformer = CtTransformer(size, depth, heads, head_size)
        self.enc_temporal_transformer = CtTransformer(size, depth, heads, head_size)
        self.vq = nn.ModuleDict({"_codebook": Codebook(codes, size)})
        # what reconstructs the image in CT-ViT's own training; kept so that the checkpoint fits
        self.to_pixels_first_frame = nn.Sequential(nn.Linear(size, area))
        self.to_pixels = nn.Sequential(nn.Linear(size, area * slices))

    def forward(self, volume: Tensor) -> Tensor:
        """(B, 1, z, x, y) -> (B, z / slices, x / patch, y / patch, size)."""
        batch, _, depth, width, _ = volume.shape
        side, steps = width // self.patch, depth // self.slices
        patches = volume.reshape(batch, steps, self.slices, side, self.patch, side, self.patch)
        tokens = self.to_patch_emb(patches.permute(0, 1, 3, 5, 2, 4, 6).flatten(4))
        grid = (batch, steps, side, side)
        x = tokens.flatten(0, 1).flatten(1, 2)
        x = self.enc_spatial_transformer(x, grid, self.spatial_rel_pos_bias(side))
        x = x.reshape(*grid, -1).permute(0, 2, 3, 1, 4).flatten(0, 2)
        x = self.enc_temporal_transformer(x, grid)
        x = x.reshape(batch, side, side, steps, -1).permute(0, 3, 1, 2, 4)
        found: Tensor = self.vq["_codebook"](x)
        return found


class CtClipEncoder(nn.Module):
    """Volumes in CT-CLIP's own form -> the image's place in the shared space, before it is normalised.

    Args:
        size: Of the tokens and of the features.
        side: Pixels of a slice along x and y.
        patch: Pixels of a patch.
        slices: Of a patch.
        depth: Layers of each of the two transformers.
        heads: Of the attention.
        head_size: Channels per head.
        codes: Of the codebook.
    """

    def __init__(
        self,
        size: int = 512,
        side: int = 480,
        patch: int = 20,
        slices: int = 10,
        depth: int = 4,
        heads: int = 8,
        head_size: int = 32,
        codes: int = 8192,
    ) -> None:
        super().__init__()
        self.feature_dim = size
        self.visual_transformer = CtVit(size, patch, slices, depth, heads, head_size, codes)
        self.to_visual_latent = nn.Linear((side // patch) ** 2 * size, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, z, x, y), z a multiple of ``slices`` -> (B, size)."""
        return self.to_visual_latent(self.visual_transformer(x).mean(dim=1).flatten(1))
