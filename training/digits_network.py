"""The vision transformer that accelsim ships as ``digits_vit``, in torch, and its weights as accelsim stores them."""

import hashlib
import math
from pathlib import Path

import numpy as np
import torch
from digits import CLASSES, IMAGE_SIDE
from torch import nn
from torch.nn import functional

D_MODEL = 64
LAYERS = 2
HEADS = 4
D_FFN = 256
LAYER_NORM_EPSILON = 1e-5


def patchify(images, tokens):
    """
    Cut images into a sequence of square patches.

    Parameters
    ----------
    images : Tensor
        ``[batch, 8, 8]``, pixel values already divided by 16.
    tokens : int
        Patches per image: 64 (single pixels) or 16 (2x2).

    Returns
    -------
    Tensor
        ``[batch, tokens, patch_dim]``: patches in row-major order, each flattened row by row.
    """
    grid = math.isqrt(tokens)
    side = IMAGE_SIDE // grid
    patches = images.reshape(-1, grid, side, grid, side).permute(0, 1, 3, 2, 4)
    return patches.reshape(-1, tokens, side * side)


def smooth_positions(tokens, reach):
    """
    Random positions of standard deviation 1 that are alike where patches are near.

    A column is a cosine of random frequency, direction and phase (random Fourier features), so that the expected
    product of two positions falls with the distance d of their patches as ``exp(-d^2 / (2 reach^2))``.

    Parameters
    ----------
    tokens : int
    reach : float
        In pixels. 0 makes all positions independent.

    Returns
    -------
    Tensor
        ``[tokens, D_MODEL]``.
    """
    if reach == 0:
        return torch.randn(tokens, D_MODEL)
    grid = math.isqrt(tokens)
    places = torch.cartesian_prod(torch.arange(grid), torch.arange(grid)) * (IMAGE_SIDE / grid)
    phases = 2 * math.pi * torch.rand(D_MODEL)
    return math.sqrt(2) * torch.cos(places @ torch.randn(2, D_MODEL) / reach + phases)


class EncoderLayer(nn.Module):
    """
    One post-LN encoder layer: ``x = LN(x + Attention(x))``, then ``x = LN(x + FFN(x))``.

    ``attend`` is a function of query, key and value ``[batch, heads, tokens, head_dim]``: dense attention unless
    another one is put in its place.
    """

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(D_MODEL, D_MODEL)
        self.key = nn.Linear(D_MODEL, D_MODEL)
        self.value = nn.Linear(D_MODEL, D_MODEL)
        self.output = nn.Linear(D_MODEL, D_MODEL)
        self.attention_norm = nn.LayerNorm(D_MODEL, eps=LAYER_NORM_EPSILON)
        self.ffn_in = nn.Linear(D_MODEL, D_FFN)
        self.ffn_out = nn.Linear(D_FFN, D_MODEL)
        self.ffn_norm = nn.LayerNorm(D_MODEL, eps=LAYER_NORM_EPSILON)
        self.attend = functional.scaled_dot_product_attention

    def forward(self, x):
        query, key, value = (
            project(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for project in (self.query, self.key, self.value)
        )
        heads = self.attend(query, key, value)
        x = self.attention_norm(x + self.output(heads.transpose(1, 2).flatten(-2)))
        return self.ffn_norm(x + self.ffn_out(functional.gelu(self.ffn_in(x))))


class DigitsViT(nn.Module):
    """
    The whole classifier: patch embedding plus learned positions, encoder layers, mean over tokens, linear classes.

    Parameters
    ----------
    tokens : int
        Patches per image: 64 or 16.
    reach : float
        Of `smooth_positions`, from which positions start.
    """

    def __init__(self, tokens, reach=0.0):
        super().__init__()
        self.tokens = tokens
        self.embed = nn.Linear(IMAGE_SIDE**2 // tokens, D_MODEL)
        # Standard deviation 1, not the usual 0.02: a grey pixel says little, so its place must be heard from the start.
        self.position = nn.Parameter(smooth_positions(tokens, reach))
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(LAYERS))
        self.classifier = nn.Linear(D_MODEL, CLASSES)

    def forward(self, images):
        x = self.embed(patchify(images, self.tokens)) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.classifier(x.mean(dim=1))


def round_to_float16(model):
    """Round every parameter to the nearest float16 in place, so that what is scored is what is stored."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())


def _stored_name(name):
    return name.replace("weight", "gain") if "norm.weight" in name else name


def _is_matrix(name):
    return name.endswith(".weight") and "norm" not in name


def named_arrays(model, dtype=np.float16):
    """
    Collect the weights under the names and in the layout of the npz file.

    Parameters
    ----------
    model : DigitsViT
    dtype : NumPy type

    Returns
    -------
    dict of str to ndarray
        Matrices are ``[in, out]``, a LayerNorm's factor is called ``gain``.
    """
    return {
        _stored_name(name): np.ascontiguousarray(
            parameter.detach().numpy().T if _is_matrix(name) else parameter.detach().numpy(), dtype=dtype
        )
        for name, parameter in model.named_parameters()
    }


def load_network(path, tokens):
    """
    Read weights that `save` wrote.

    Parameters
    ----------
    path : path-like
        An npz file.
    tokens : int

    Returns
    -------
    DigitsViT
    """
    model = DigitsViT(tokens)
    with np.load(path, allow_pickle=False) as stored, torch.no_grad():
        for name, parameter in model.named_parameters():
            array = stored[_stored_name(name)].astype(np.float32)
            parameter.copy_(torch.from_numpy(array.T if _is_matrix(name) else array))
    return model


def save(path, arrays):
    """Write a compressed npz file and print its size and SHA-256."""
    path = Path(path)
    np.savez_compressed(path, **arrays)
    content = path.read_bytes()
    print(f"{path.name}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
