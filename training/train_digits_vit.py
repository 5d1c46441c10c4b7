"""
Train the small vision transformer that accelsim ships as ``digits_vit``.

The network reads an 8x8 image of a handwritten digit as a sequence of tokens (64 single pixels, or 16 patches of
2x2) and passes it through two post-LN encoder layers, as BERT has them. The trained weights are rounded to float16
and written, with every matrix laid out as ``[in, out]``, to an npz file that the simulator reads without PyTorch.

It learns from a teacher: a support vector machine with a Gaussian kernel, fitted in seconds to the training images and
to warped copies of them, judges a pool of other warped copies, and the network is trained to give the same shares to
the classes. The teacher sees the same images as the network and no others.

Choices about the training itself are made with ``--validate``, which holds the 300 calibration images out, of teacher
and network, and scores them; the test images take part in no choice. This script needs torch and scikit-learn.

Examples
--------
Compare training with and without the teacher, then train the shipped weights::

    python training/train_digits_vit.py --validate --teacher 0
    python training/train_digits_vit.py --validate
    python training/train_digits_vit.py --output workloads/models/digits_vit.npz \
        --images workloads/models/digits_images.npz
    python training/train_digits_vit.py --tokens 16 --output workloads/models/digits_vit_16.npz
"""

import argparse
import math
import time

import numpy as np
import sklearn
import torch
from digits import CLASSES, split_digits, to_inputs, training_subset, warp
from digits_network import DigitsViT, named_arrays, round_to_float16, save
from sklearn.svm import SVC
from torch.nn import functional

TEACHER_COPIES = 6
"""Warped copies of each training image that the teacher is fitted to."""
TEACHER_GAMMA = 0.6
TEACHER_C = 10.0


def fit_teacher(images, labels, strength, seed):
    """
    Fit a support vector machine with a Gaussian kernel to images and warped copies of them.

    Parameters
    ----------
    images, labels : Tensor
        As `to_inputs` returns them.
    strength : float
        Of `warp`.
    seed : int

    Returns
    -------
    SVC
    """
    generator = torch.Generator().manual_seed(seed)
    copies = [images, *(warp(images, strength, generator) for _ in range(TEACHER_COPIES))]
    pixels = torch.cat(copies).flatten(1).numpy()
    return SVC(C=TEACHER_C, gamma=TEACHER_GAMMA).fit(pixels, labels.repeat(len(copies)).numpy())


def ask_teacher(teacher, images, sharpness):
    """
    Shares of the classes: the softmax of the teacher's decision values times a sharpness.

    Parameters
    ----------
    teacher : SVC
    images : Tensor
        ``[count, 8, 8]``.
    sharpness : float

    Returns
    -------
    Tensor
        ``[count, 10]``; rows add up to 1.
    """
    values = teacher.decision_function(images.flatten(1).numpy())
    return torch.softmax(torch.from_numpy(sharpness * values).float(), dim=1)


def mix(images, shares, part, generator):
    """
    Lay other images over some of the images, in random proportion.

    Parameters
    ----------
    images : Tensor
        ``[count, 8, 8]``.
    shares : Tensor
        ``[count, 10]``, mixed alike.
    part : float
        Share of the images that are mixed.
    generator : torch.Generator

    Returns
    -------
    tuple of Tensor
        Images and shares.
    """
    count = len(images)
    other = torch.randperm(count, generator=generator)
    mixed = torch.rand(count, generator=generator) < part
    weight = torch.where(mixed, torch.rand(count, generator=generator), 0.0)
    return torch.lerp(images, images[other], weight[:, None, None]), torch.lerp(shares, shares[other], weight[:, None])


def make_pool(images, labels, teacher, arguments, generator):
    """
    Copies of the training images, one for an epoch, and what the network is to say to them.

    Parameters
    ----------
    images, labels : Tensor
        As `to_inputs` returns them.
    teacher : SVC or None
    arguments : Namespace
        ``copies``, ``warp``, ``mix``, ``teacher`` and ``sharpness`` of the command line.
    generator : torch.Generator

    Returns
    -------
    list of (Tensor, Tensor)
        Images ``[count, 8, 8]`` and shares ``[count, 10]``, which mix the teacher's with the label's.
    """
    own = functional.one_hot(labels, CLASSES).float()
    pool = []
    for _ in range(arguments.copies):
        warped, shares = mix(warp(images, arguments.warp, generator), own, arguments.mix, generator)
        if teacher is not None:
            shares = torch.lerp(shares, ask_teacher(teacher, warped, arguments.sharpness), arguments.teacher)
        pool.append((warped, shares))
    return pool


def count_correct(model, images, labels):
    """Return how many images the network classifies correctly, and its mean cross-entropy."""
    model.eval()
    with torch.no_grad():
        logits = model(images)
    return int((logits.argmax(dim=1) == labels).sum()), float(functional.cross_entropy(logits, labels))


def train(model, pool, *, epochs, batch, learning_rate, weight_decay, seed):
    """
    Fit the network with AdamW; the rate warms up over the first 5 % of the steps, then falls as a cosine to zero.

    Parameters
    ----------
    model : DigitsViT
        Trained in place.
    pool : list of (Tensor, Tensor)
        As `make_pool` returns it; epochs take its copies in turn.
    epochs, batch : int
        Passes over the images, and images per step.
    learning_rate : float
        Peak rate.
    weight_decay : float
    seed : int
        Seeds the order of the images.
    """
    generator = torch.Generator().manual_seed(seed)
    count = len(pool[0][0])
    steps = epochs * math.ceil(count / batch)
    warm_up = max(1, steps // 20)

    def rate(step):
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up)))

    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    model.train()
    for epoch in range(epochs):
        images, shares = pool[epoch % len(pool)]
        total = 0.0
        for chosen in torch.randperm(count, generator=generator).split(batch):
            loss = functional.cross_entropy(model(images[chosen]), shares[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(chosen)
        if (epoch + 1) % 20 == 0 or epoch + 1 == epochs:
            print(f"epoch {epoch + 1:3d}  training loss {total / count:.4f}", flush=True)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train digits_vit, the small vision transformer shipped by accelsim.")
    parser.add_argument("--tokens", type=int, choices=(16, 64), default=64, help="patches per image")
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--batch", type=int, default=64, help="images per step")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="peak rate of AdamW")
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--reach", type=float, default=0.0, help="pixels over which starting positions are alike")
    parser.add_argument("--warp", type=float, default=1.0, help="strength of the random warps; 0 for none")
    parser.add_argument("--mix", type=float, default=0.0, help="share of the images that are mixed with another")
    parser.add_argument("--copies", type=int, default=24, help="warped copies of each image in the pool")
    parser.add_argument("--teacher", type=float, default=1.0, help="share of the teacher in the targets; 0 for none")
    parser.add_argument("--sharpness", type=float, default=3.0, help="factor on the teacher's decision values")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch; more change the last bits")
    parser.add_argument("--validate", action="store_true", help="hold out the calibration images and score only them")
    parser.add_argument("--output", help="npz file for the weights")
    parser.add_argument("--images", help="npz file for the test and calibration images")
    arguments = parser.parse_args()
    if arguments.validate and arguments.images:
        parser.error("--validate writes no images: leave out --images")
    if arguments.warp == 0 and arguments.mix == 0:
        arguments.copies = 1
    return arguments


def main():
    """Train once, round, score, and write what was asked for."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    print(f"torch {torch.__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__}")

    digits = split_digits()
    images, labels = to_inputs(*training_subset(digits, arguments.validate))
    scored = "calibration" if arguments.validate else "test"
    judged = to_inputs(digits[f"{scored}_images"], digits[f"{scored}_labels"])
    teacher = None
    if arguments.teacher > 0:
        teacher = fit_teacher(images, labels, arguments.warp, arguments.seed)
        if arguments.validate:
            right = int((teacher.predict(judged[0].flatten(1).numpy()) == judged[1].numpy()).sum())
            print(f"teacher: {right} of {len(judged[1])} calibration images correct")
    pool = make_pool(images, labels, teacher, arguments, torch.Generator().manual_seed(1000 + arguments.seed))

    model = DigitsViT(arguments.tokens, arguments.reach)
    print(f"{sum(parameter.numel() for parameter in model.parameters())} parameters, {len(images)} training images")
    start = time.perf_counter()
    train(
        model,
        pool,
        epochs=arguments.epochs,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        weight_decay=arguments.weight_decay,
        seed=arguments.seed,
    )
    print(f"trained in {time.perf_counter() - start:.0f} s")

    round_to_float16(model)
    for split, (pixels, wanted) in (("training", (images, labels)), (scored, judged)):
        right, entropy = count_correct(model, pixels, wanted)
        print(f"{split} images correct: {right} of {len(wanted)}, cross-entropy {entropy:.4f}")

    if arguments.output:
        save(arguments.output, named_arrays(model))
    if arguments.images:
        names = ("test_images", "test_labels", "calibration_images", "calibration_labels")
        save(arguments.images, {name: digits[name] for name in names})


if __name__ == "__main__":
    main()
