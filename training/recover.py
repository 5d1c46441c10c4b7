"""
Prune the weights of the digits' transformers, train them briefly on, and record what they get right.

Masks are made by `accelsim.pruning`, by the same calls as a user's. Every matrix of the encoder layers is pruned, the
embedding and the classifier are not. Pruned weights stay zero in training (masks fixed). The network learns to repeat
what it said before it was pruned, on warped copies of the training images, so that no label is needed.

Three ways from dense to sparse: ``none`` prunes at once and trains nothing; ``one_shot`` prunes at once, then trains;
``gradual`` goes through the stages of a schedule (workloads/schedules) up to the sparsity that is asked for and trains
after each of them. Steps are those of the whole way, divided evenly among the stages.

Each setting is a row of a CSV file: how many images are right, and which ones, packed into bits. Rows that the file has
are not computed again. With ``--validate`` the networks are those that were trained without the calibration images, and
these are scored: the way to choose steps and rates. Without, the test images are scored, once.

Examples
--------
::

    python training/train_digits_vit.py --tokens 16 --validate --output held_out_16.npz
    python training/recover.py --tokens 16 --seeds 0 --validate --weights held_out_16.npz --output tried.csv
    python training/recover.py --tokens 16 --output docs/data/recovery.csv
    python training/recover.py --seeds 0 --settings tile_wise_32 --sparsities 0.75 --scores magnitude \
        --schedules gradual --save workloads/models/digits_vit_tw75.npz
"""

import argparse
import base64
import csv
import math
import time
from pathlib import Path

import numpy as np
import torch
from digits import split_digits, to_inputs, training_subset, warp
from digits_network import load_network, named_arrays, round_to_float16, save
from torch.nn import functional

from accelsim.config.schedules import load_schedule, pattern_of
from accelsim.pruning.patterns import prune, prune_in_stages

MODELS = Path(__file__).parents[1] / "workloads" / "models"

SETTINGS = {
    "element_wise": ("element_wise", {}),
    "vector_wise_16": ("vector_wise", {"vector": 16}),
    "n_m": ("n_m", {"m": 4}),
    "block_wise_4": ("block_wise", {"block_rows": 4, "block_columns": 4}),
    "block_wise_16": ("block_wise", {"block_rows": 16, "block_columns": 16}),
    "tile_wise_8": ("tile_wise", {"granularity": 8}),
    "tile_wise_32": ("tile_wise", {"granularity": 32}),
    "tile_wise_64": ("tile_wise", {"granularity": 64}),
    "tile_element_wise_32": ("tile_element_wise", {"granularity": 32, "delta": 0.05}),
    "tile_vector_wise_32": ("tile_vector_wise", {"granularity": 32}),
}
"""Patterns by the names of the rows: kind, and its options."""
SPARSITIES = (0.5, 0.75, 0.9)
SCORES = ("magnitude", "taylor")
SCHEDULES = ("none", "one_shot", "gradual")
STAGES = "vision_stages"
"""Schedule whose stages ``gradual`` passes through."""
COPIES = 8
"""Warped copies of the training images that are learned from."""
TAYLOR_BATCH = 64

FIELDS = ("tokens", "seed", "setting", "asked", "score", "schedule", "steps", "sparsity", "correct", "images", "bits")
KEY = FIELDS[:7]


def make_pattern(setting, sparsity, score):
    """
    Pattern of a row, or None where it has none of that sparsity.

    Parameters
    ----------
    setting : str
        Key of `SETTINGS`, or ``dense``.
    sparsity : float
    score : str
    """
    if setting == "dense":
        return None
    kind, options = SETTINGS[setting]
    if kind != "n_m":
        return pattern_of(kind, options | {"sparsity": sparsity, "score": score})
    kept = options["m"] * (1 - sparsity)
    return pattern_of(kind, options | {"n": int(kept), "score": score}) if kept == int(kept) else None


class Recovery:
    """
    A dense network, and what it is pruned and trained on.

    Parameters
    ----------
    tokens, seed : int
        Name the shipped network.
    weights : path-like
        Its file.
    validate : bool
        Whether to hold out and score the calibration images instead of the test images.
    arguments : Namespace
        ``steps``, ``batch``, ``learning_rate`` and ``warp`` of the command line.
    """

    def __init__(self, tokens, seed, weights, validate, arguments):
        self.tokens, self.seed, self.weights, self.arguments = tokens, seed, weights, arguments
        digits = split_digits()
        self.images, self.labels = to_inputs(*training_subset(digits, validate))
        scored = "calibration" if validate else "test"
        self.scored = to_inputs(digits[f"{scored}_images"], digits[f"{scored}_labels"])
        generator = torch.Generator().manual_seed(2000 + seed)
        dense = load_network(weights, tokens)
        with torch.no_grad():
            pool = [warp(self.images, arguments.warp, generator) for _ in range(COPIES)]
            self.pool = [(images, torch.softmax(dense(images), dim=1)) for images in pool]

    def run(self, setting, sparsity, score, schedule):
        """
        Prune and, where the schedule says so, train.

        Returns
        -------
        (DigitsViT, float)
            The network, its weights rounded to float16, and the share of weights pruned.
        """
        self.model = load_network(self.weights, self.tokens)
        self.batches = self._batches()
        pattern = make_pattern(setting, sparsity, score)
        share = 0.0
        if pattern is not None:
            masks = self._prune(pattern, schedule)
            share = 1 - sum(mask.kept for mask in masks.values()) / sum(mask.k * mask.n for mask in masks.values())
        round_to_float16(self.model)
        return self.model, share

    def _prune(self, pattern, schedule):
        """Masks of the last stage; the model is left with the weights that belong to them."""
        gradients = self._gradients if pattern.score == "taylor" else None
        if schedule == "none":
            matrices = self._matrices()
            masks = prune(matrices, pattern, None if gradients is None else gradients(matrices))
            self._put({name: array * masks[name].to_dense() for name, array in matrices.items()})
            return masks
        target = pattern.sparsity
        stages = [target]
        if schedule == "gradual":
            stages = [stage for stage in load_schedule(STAGES).total if stage < target - 1e-9] + stages
        steps = self.arguments.steps // len(stages)
        if pattern.kind == "n_m":
            masks = prune(self._matrices(), pattern, None if gradients is None else gradients(self._matrices()))
            self._tune(self._matrices(), masks, steps)
            return masks

        def tune(tensors, masks):
            return self._tune(tensors, masks, steps)

        return list(prune_in_stages(self._matrices(), pattern, stages, gradients, tune))[-1][1]

    def _parameters(self):
        return {
            name: parameter
            for name, parameter in self.model.named_parameters()
            if name.startswith("layers.") and parameter.ndim == 2
        }

    def _matrices(self):
        """Weights to prune as float32 [in, out], the orientation of accelsim."""
        return {name: parameter.detach().numpy().T.copy() for name, parameter in self._parameters().items()}

    def _put(self, tensors):
        with torch.no_grad():
            for name, parameter in self._parameters().items():
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(tensors[name].T)))

    def _gradients(self, tensors):
        """Root mean square over batches of the gradient of the loss, so that Taylor's score is a mean over batches."""
        self._put(tensors)
        squares = {name: torch.zeros_like(parameter) for name, parameter in self._parameters().items()}
        for chosen in torch.arange(len(self.images)).split(TAYLOR_BATCH):
            self.model.zero_grad()
            functional.cross_entropy(self.model(self.images[chosen]), self.labels[chosen]).backward()
            for name, parameter in self._parameters().items():
                squares[name] += parameter.grad.square()
        count = math.ceil(len(self.images) / TAYLOR_BATCH)
        return {name: (square / count).sqrt().numpy().T for name, square in squares.items()}

    def _batches(self):
        """Batches of warped images and of what the dense network said to them, without end."""
        generator = torch.Generator().manual_seed(self.seed)
        while True:
            for images, shares in self.pool:
                for chosen in torch.randperm(len(images), generator=generator).split(self.arguments.batch):
                    yield images[chosen], shares[chosen]

    def _tune(self, tensors, masks, steps):
        """Train all parameters, pruned weights staying zero; the rate falls as a cosine from its peak to zero."""
        self._put(tensors)
        kept = {name: torch.from_numpy(np.ascontiguousarray(mask.to_dense().T)) for name, mask in masks.items()}
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=self.arguments.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
        pruned = self._parameters()
        for _ in range(steps):
            with torch.no_grad():
                for name, parameter in pruned.items():
                    parameter.mul_(kept[name])
            images, shares = next(self.batches)
            loss = functional.cross_entropy(self.model(images), shares)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        with torch.no_grad():
            for name, parameter in pruned.items():
                parameter.mul_(kept[name])
        return self._matrices()

    def right(self, model):
        """Whether each scored image is classified correctly, bool [images]."""
        images, labels = self.scored
        with torch.no_grad():
            return (model(images).argmax(dim=1) == labels).numpy()


def pack(right):
    """Truth values as text: bits from the highest of each byte on, in base64."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def read_rows(path):
    """Rows of a CSV file by their key; none when it does not exist."""
    if path is None or not Path(path).exists():
        return {}
    with open(path, newline="") as file:
        return {tuple(row[field] for field in KEY): row for row in csv.DictReader(file)}


def append_row(path, row):
    """Add a row to a CSV file, after a header when it is new."""
    new = not Path(path).exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def settings_of(arguments):
    """Rows to compute: (setting, sparsity, score, schedule), the dense network first."""
    yield "dense", 0.0, "magnitude", "none"
    for setting in arguments.settings:
        for sparsity in arguments.sparsities:
            for score in arguments.scores:
                for schedule in arguments.schedules:
                    pattern = make_pattern(setting, sparsity, score)
                    if pattern is not None and not (pattern.kind == "n_m" and schedule == "gradual"):
                        yield setting, sparsity, score, schedule


def weights_of(arguments, seed):
    """File of the dense network of a seed."""
    if arguments.weights:
        return Path(arguments.weights.format(seed=seed))
    stem = "digits_vit" if arguments.tokens == 64 else f"digits_vit_{arguments.tokens}"
    return MODELS / (f"{stem}.npz" if seed == 0 else f"{stem}_seed{seed}.npz")


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Prune the digits' transformers and train them briefly on.")
    parser.add_argument("--tokens", type=int, choices=(16, 64), default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2), help="which networks")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=tuple(SETTINGS))
    parser.add_argument("--sparsities", type=float, nargs="+", default=SPARSITIES)
    parser.add_argument("--scores", nargs="+", choices=SCORES, default=SCORES)
    parser.add_argument("--schedules", nargs="+", choices=SCHEDULES, default=SCHEDULES)
    parser.add_argument("--steps", type=int, default=150, help="of training, over all stages")
    parser.add_argument("--batch", type=int, default=32, help="images per step")
    parser.add_argument("--learning-rate", type=float, default=6e-3, help="peak rate of AdamW in each stage")
    parser.add_argument("--warp", type=float, default=0.5, help="strength of the random warps; 0 for none")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--validate", action="store_true", help="hold out and score the calibration images")
    parser.add_argument("--weights", help="file of dense weights in place of the shipped ones; {seed} is filled in")
    parser.add_argument("--output", help="CSV file to add rows to")
    parser.add_argument("--save", help="npz file for the weights of the one setting that is named")
    arguments = parser.parse_args()
    if arguments.save and len(list(settings_of(arguments))) * len(arguments.seeds) != 2:
        parser.error("--save takes one seed, setting, sparsity, score and schedule")
    if arguments.validate and not arguments.weights:
        parser.error("--validate needs --weights that were trained without the calibration images")
    return arguments


def main():
    """Compute the rows that are missing."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    done = read_rows(arguments.output)
    for seed in arguments.seeds:
        recovery = Recovery(arguments.tokens, seed, weights_of(arguments, seed), arguments.validate, arguments)
        for setting, sparsity, score, schedule in settings_of(arguments):
            steps = 0 if schedule == "none" else arguments.steps
            row = dict(zip(KEY, (arguments.tokens, seed, setting, sparsity, score, schedule, steps), strict=True))
            if tuple(str(value) for value in row.values()) in done:
                continue
            start = time.perf_counter()
            model, share = recovery.run(setting, sparsity, score, schedule)
            right = recovery.right(model)
            row |= {"sparsity": f"{share:.4f}", "correct": int(right.sum()), "images": len(right), "bits": pack(right)}
            print(*list(row.values())[:-1], f"{time.perf_counter() - start:.1f} s", flush=True)
            if arguments.output:
                append_row(arguments.output, row)
            if arguments.save and setting != "dense":
                save(arguments.save, named_arrays(model))


if __name__ == "__main__":
    main()
