"""
The handwritten digits that accelsim's small vision transformers are trained on: their split, and warped copies.

The 1797 images of scikit-learn are permuted by ``RandomState(0)``: 1297 to train on, the last 500 to test. Of the
training images, 300 drawn by ``RandomState(1)`` are the calibration images. The test images take part in no choice.

The scripts of this folder need torch and scikit-learn; nothing else in the project does.
"""

import math

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

IMAGE_SIDE = 8
PIXEL_MAX = 16
CLASSES = 10
TRAIN_IMAGES = 1297
CALIBRATION_IMAGES = 300
SPLIT_SEED = 0
CALIBRATION_SEED = 1


def split_digits():
    """
    Load the digits and split them in the project's fixed way.

    Returns
    -------
    dict of str to ndarray
        ``{train,calibration,test}_images`` as uint8 ``[count, 8, 8]`` with values 0 to 16, and
        ``{train,calibration,test}_labels`` as uint8. Every calibration image is a training image too.
    """
    digits = load_digits()
    order = np.random.RandomState(SPLIT_SEED).permutation(len(digits.target))
    images = digits.images[order].astype(np.uint8)
    labels = digits.target[order].astype(np.uint8)
    calibration = calibration_indices()
    return {
        "train_images": images[:TRAIN_IMAGES],
        "train_labels": labels[:TRAIN_IMAGES],
        "calibration_images": images[calibration],
        "calibration_labels": labels[calibration],
        "test_images": images[TRAIN_IMAGES:],
        "test_labels": labels[TRAIN_IMAGES:],
    }


def calibration_indices():
    """Return the places of the calibration images among the training images."""
    return np.random.RandomState(CALIBRATION_SEED).permutation(TRAIN_IMAGES)[:CALIBRATION_IMAGES]


def training_subset(digits, validate):
    """
    Images and labels to train on.

    Parameters
    ----------
    digits : dict
        As `split_digits` returns it.
    validate : bool
        Whether to hold the calibration images out.

    Returns
    -------
    tuple of ndarray
        uint8 ``[count, 8, 8]`` and ``[count]``.
    """
    kept = np.ones(TRAIN_IMAGES, dtype=bool)
    if validate:
        kept[calibration_indices()] = False
    return digits["train_images"][kept], digits["train_labels"][kept]


def to_inputs(images, labels):
    """Turn uint8 images and labels into the tensors the network is trained on (pixels 0 to 1)."""
    return torch.from_numpy(images.astype(np.float32) / PIXEL_MAX), torch.from_numpy(labels.astype(np.int64))


def warp(images, strength, generator):
    """
    Turn, scale, shear and move each image at random, with bilinear interpolation; outside is background.

    Parameters
    ----------
    images : Tensor
        ``[batch, 8, 8]``.
    strength : float
        1 draws uniformly from turns of up to 12 degrees, scales of up to 12 % along either axis, shears of up to 0.15
        and shifts of up to half a pixel along either axis; other strengths stretch these ranges. 0 returns the images
        as they are.
    generator : torch.Generator
        Source of the warps, one for each image.

    Returns
    -------
    Tensor
        ``[batch, 8, 8]``.
    """
    if strength == 0:
        return images
    count = len(images)
    drawn = strength * (2 * torch.rand(6, count, generator=generator) - 1)
    angle, wide, high, shear, right, down = drawn * torch.tensor(
        [math.radians(12), 0.12, 0.12, 0.15, 1 / IMAGE_SIDE, 1 / IMAGE_SIDE]
    ).unsqueeze(1)
    wide, high = 1 + wide, 1 + high
    matrices = torch.stack(
        [
            torch.stack([torch.cos(angle) * wide, shear - torch.sin(angle) * high, right], dim=1),
            torch.stack([torch.sin(angle) * wide, torch.cos(angle) * high, down], dim=1),
        ],
        dim=1,
    )
    grid = functional.affine_grid(matrices, (count, 1, IMAGE_SIDE, IMAGE_SIDE), align_corners=False)
    return functional.grid_sample(images.unsqueeze(1), grid, align_corners=False).squeeze(1)
