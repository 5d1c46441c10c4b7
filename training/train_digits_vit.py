"""
Train the small vision transformer that accelsim ships as ``digits_vit``.

The network reads an 8x8 image of a handwritten digit as a sequence of tokens (64 single pixels, or 16 patches of
2x2) and passes it through two post-LN encoder layers, as BERT has them. The trained weights are rounded to float16
and written, with every matrix laid out as ``[in, out]``, to an npz file that the simulator reads without PyTorch.

The 1797 images of scikit-learn are permuted by ``RandomState(0)``: 1297 to train on, the last 500 to test. Of the
training images, 300 drawn by ``RandomState(1)`` are the calibration images. Choices about the training itself are
made with ``--validate``, which holds these 300 out and scores them; the test images take part in no choice.

This script needs torch and scikit-learn; nothing else in the project does.

Examples
--------
Compare training with and without random shifts, then train the shipped weights::

    python training/train_digits_vit.py --validate --shift 0
    python training/train_digits_vit.py --validate --shift 1
    python training/train_digits_vit.py --output workloads/models/digits_vit.npz \
        --images workloads/models/digits_images.npz
    python training/train_digits_vit.py --tokens 16 --output workloads/models/digits_vit_16.npz
"""

import argparse
import hashlib
import math
import time
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

IMAGE_SIDE = 8
PIXEL_MAX = 16
CLASSES = 10
TRAIN_IMAGES = 1297
CALIBRATION_IMAGES = 300
SPLIT_SEED = 0
CALIBRATION_SEED = 1

D_MODEL = 64
LAYERS = 2
HEADS = 4
D_FFN = 256
LAYER_NORM_EPSILON = 1e-5


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


def shift_randomly(images, reach, generator):
    """
    Move each image by its own random whole number of pixels; what enters from outside is background.

    Parameters
    ----------
    images : Tensor
        ``[batch, 8, 8]``.
    reach : int
        Largest shift along either axis; 0 returns the images as they are.
    generator : torch.Generator
        Source of the shifts, each drawn uniformly from ``-reach .. reach``.

    Returns
    -------
    Tensor
        ``[batch, 8, 8]``.
    """
    if reach == 0:
        return images
    padded = functional.pad(images, (reach, reach, reach, reach))
    start = torch.randint(0, 2 * reach + 1, (2, len(images), 1), generator=generator)
    rows, columns = start + torch.arange(IMAGE_SIDE)
    return padded[torch.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


class EncoderLayer(nn.Module):
    """One post-LN encoder layer: ``x = LN(x + Attention(x))``, then ``x = LN(x + FFN(x))``."""

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

    def forward(self, x):
        query, key, value = (
            project(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for project in (self.query, self.key, self.value)
        )
        heads = functional.scaled_dot_product_attention(query, key, value)
        x = self.attention_norm(x + self.output(heads.transpose(1, 2).flatten(-2)))
        return self.ffn_norm(x + self.ffn_out(functional.gelu(self.ffn_in(x))))


class DigitsViT(nn.Module):
    """
    The whole classifier: patch embedding plus learned positions, encoder layers, mean over tokens, linear classes.

    Parameters
    ----------
    tokens : int
        Patches per image: 64 or 16.
    """

    def __init__(self, tokens):
        super().__init__()
        self.tokens = tokens
        self.embed = nn.Linear(IMAGE_SIDE**2 // tokens, D_MODEL)
        # Standard deviation 1, not the usual 0.02: a grey pixel says little, so its place must be heard from the start.
        self.position = nn.Parameter(torch.randn(tokens, D_MODEL))
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(LAYERS))
        self.classifier = nn.Linear(D_MODEL, CLASSES)

    def forward(self, images):
        x = self.embed(patchify(images, self.tokens)) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.classifier(x.mean(dim=1))


def to_inputs(images, labels):
    """Turn uint8 images and labels into the tensors the network is trained on (pixels 0 to 1)."""
    return torch.from_numpy(images.astype(np.float32) / PIXEL_MAX), torch.from_numpy(labels.astype(np.int64))


def count_correct(model, images, labels):
    """Return how many images the network classifies correctly."""
    model.eval()
    with torch.no_grad():
        return int((model(images).argmax(dim=1) == labels).sum())


def train(model, images, labels, *, epochs, batch, learning_rate, shift, seed):
    """
    Fit the network with AdamW; the rate warms up over the first 5 % of the steps, then falls as a cosine to zero.

    Parameters
    ----------
    model : DigitsViT
        Trained in place.
    images, labels : Tensor
        As `to_inputs` returns them.
    epochs, batch : int
        Passes over the images, and images per step.
    learning_rate : float
        Peak rate.
    shift : int
        Reach of the random shifts, in pixels.
    seed : int
        Seeds the order of the images and their shifts.
    """
    generator = torch.Generator().manual_seed(seed)
    steps = epochs * math.ceil(len(images) / batch)
    warm_up = max(1, steps // 20)

    def rate(step):
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))

    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for chosen in torch.randperm(len(images), generator=generator).split(batch):
            loss = functional.cross_entropy(model(shift_randomly(images[chosen], shift, generator)), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen)
        if (epoch + 1) % 10 == 0 or epoch + 1 == epochs:
            print(f"epoch {epoch + 1:3d}  training loss {total / len(images):.4f}", flush=True)


def round_to_float16(model):
    """Round every parameter to the nearest float16 in place, so that what is scored is what is stored."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())


def named_arrays(model):
    """
    Collect the weights under the names and in the layout of the npz file.

    Parameters
    ----------
    model : DigitsViT

    Returns
    -------
    dict of str to ndarray
        float16 arrays; matrices are ``[in, out]``, a LayerNorm's factor is called ``gain``.
    """
    arrays = {}
    for name, parameter in model.named_parameters():
        array = parameter.detach().numpy()
        if "norm.weight" in name:
            name = name.replace("weight", "gain")
        elif name.endswith(".weight"):
            array = array.T
        arrays[name] = np.ascontiguousarray(array, dtype=np.float16)
    return arrays


def save(path, arrays):
    """Write a compressed npz file and print its size and SHA-256."""
    path = Path(path)
    np.savez_compressed(path, **arrays)
    content = path.read_bytes()
    print(f"{path.name}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train digits_vit, the small vision transformer shipped by accelsim.")
    parser.add_argument("--tokens", type=int, choices=(16, 64), default=64, help="patches per image")
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--batch", type=int, default=64, help="images per step")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="peak rate of AdamW")
    parser.add_argument("--shift", type=int, default=0, help="reach of random shifts in pixels; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; more change the last bits")
    parser.add_argument("--validate", action="store_true", help="hold out the calibration images and score only them")
    parser.add_argument("--output", help="npz file for the weights")
    parser.add_argument("--images", help="npz file for the test and calibration images")
    arguments = parser.parse_args()
    if arguments.validate and (arguments.output or arguments.images):
        parser.error("--validate writes no file: leave out --output and --images")
    return arguments


def main():
    """Train once, round, score, and write what was asked for."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    print(f"torch {torch.__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__}")

    digits = split_digits()
    kept = np.ones(TRAIN_IMAGES, dtype=bool)
    if arguments.validate:
        kept[calibration_indices()] = False
    images, labels = to_inputs(digits["train_images"][kept], digits["train_labels"][kept])

    model = DigitsViT(arguments.tokens)
    print(f"{sum(parameter.numel() for parameter in model.parameters())} parameters, {len(images)} training images")
    start = time.perf_counter()
    train(
        model,
        images,
        labels,
        epochs=arguments.epochs,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        shift=arguments.shift,
        seed=arguments.seed,
    )
    print(f"trained in {time.perf_counter() - start:.0f} s")

    round_to_float16(model)
    print(f"training images correct: {count_correct(model, images, labels)} of {len(images)}")
    scored = "calibration" if arguments.validate else "test"
    images, labels = to_inputs(digits[f"{scored}_images"], digits[f"{scored}_labels"])
    print(f"{scored} images correct: {count_correct(model, images, labels)} of {len(images)}")

    if arguments.output:
        save(arguments.output, named_arrays(model))
    if arguments.images:
        names = ("test_images", "test_labels", "calibration_images", "calibration_labels")
        save(arguments.images, {name: digits[name] for name in names})


if __name__ == "__main__":
    main()
