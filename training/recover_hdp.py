"""
Train the digits' transformers briefly on while HDP prunes their attention, so that they bear it.

The twin of recover.py for pruning that is decided anew for each input. Every batch has images whose attention is left
dense and images that are pruned, each with a row threshold of its own, drawn from a range: one set of weights serves
dense attention and all thresholds of the range. The network learns to say what the dense network said before, on
warped copies of the training images, so that no label is needed.

The 300 calibration images are not trained on. On them the row thresholds that a network ships with are chosen, one for
each layer: of those that prune the wanted share of all blocks, the ones that change margins least against the dense
network before. The test images take part in nothing here: ``python docs/hdp_recovery_tables.py`` runs
them. Steps, rates and switches were chosen with a network that had not seen the calibration images (``--weights``).

Examples
--------
::

    python training/train_digits_vit.py --epochs 120 --validate --output held_out.npz
    python training/recover_hdp.py --seeds 0 --weights held_out.npz
    python training/recover_hdp.py --save "workloads/models/digits_vit_hdp{seed}.npz"
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import torch
from digits import split_digits, to_inputs, training_subset, warp
from digits_hdp import PrunedAttention
from digits_network import load_network, named_arrays, round_to_float16, save
from layer_thresholds import Chooser
from torch.nn import functional

from accelsim.config.options import Hdp
from accelsim.explore.accuracy.forward import load_model, run_model
from accelsim.explore.accuracy.quality import Quality

MODELS = Path(__file__).parents[1] / "workloads" / "models"
TOKENS = 64
COPIES = 8
"""Warped copies of the training images that are learned from."""
SHARE = 0.86
"""Share of blocks that the thresholds chosen prune at least, of calibration images: 85 % and a little, for other images
may be pruned a little less."""
SCORES = ("excluded", "zero", "zero_in_denominator")
"""What softmax may see of pruned blocks."""


def weights_of(template, seed):
    """
    File of a seed: the template with ``{seed}`` replaced by nothing, ``_seed1``, ``_seed2`` and so on.

    Parameters
    ----------
    template : str
    seed : int

    Returns
    -------
    Path
    """
    return Path(template.format(seed=f"_seed{seed}" if seed else ""))


class DynamicRecovery:
    """
    A dense network, what it said to the images it is trained on, and the training.

    Parameters
    ----------
    weights : path-like
        Of the dense network.
    seed : int
        Of warps, batches and thresholds.
    options : Hdp
        Switches that the network is trained under.
    arguments : Namespace
        ``steps``, ``batch``, ``learning_rate``, ``warp``, ``low``, ``high`` and ``dense`` of the command line.
    """

    def __init__(self, weights, seed, options, arguments):
        self.arguments = arguments
        self.generator = torch.Generator().manual_seed(3000 + seed)
        self.model = load_network(weights, TOKENS)
        images, _ = to_inputs(*training_subset(split_digits(), validate=True))
        with torch.no_grad():
            pool = [warp(images, arguments.warp, self.generator) for _ in range(COPIES)]
            self.pool = [(copy, torch.softmax(self.model(copy), dim=1)) for copy in pool]
        self.attention = PrunedAttention(options)
        self.dense_attention = self.model.layers[0].attend

    def logits(self, images, rho_b=None):
        """
        Outputs with dense attention, or with HDP's.

        Parameters
        ----------
        images : Tensor
            ``[batch, 8, 8]``.
        rho_b : Tensor, optional
            ``[batch]`` row thresholds; left out, attention is dense.
        """
        for layer in self.model.layers:
            layer.attend = self.dense_attention if rho_b is None else self.attention
        if rho_b is not None:
            self.attention.rho_b = rho_b
        return self.model(images)

    def run(self):
        """
        Train all parameters with AdamW; the rate falls as a cosine from its peak to zero.

        Returns
        -------
        DigitsViT
            With dense attention, its weights rounded to float16.
        """
        steps = self.arguments.steps
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=self.arguments.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
        for images, shares in itertools.islice(self._batches(), steps):
            loss = functional.cross_entropy(self._outputs(images), shares)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        self.logits(self.pool[0][0][:1])
        round_to_float16(self.model)
        return self.model

    def _outputs(self, images):
        """Outputs of a batch, its first images dense and each other one pruned by a threshold drawn for it."""
        low, high = self.arguments.low, self.arguments.high
        dense = round(self.arguments.dense * len(images))
        rho_b = low + (high - low) * torch.rand(len(images) - dense, generator=self.generator)
        parts = [self.logits(images[:dense])] if dense else []
        return torch.cat([*parts, self.logits(images[dense:], rho_b)])

    def _batches(self):
        """Batches of warped images and of what the dense network said to them, without end."""
        while True:
            for images, shares in self.pool:
                for chosen in torch.randperm(len(images), generator=self.generator).split(self.arguments.batch):
                    yield images[chosen], shares[chosen]


def parse_arguments(given=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train the digits' transformers briefly on under HDP.")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2), help="which networks")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=32, help="images per step")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="peak rate of AdamW")
    parser.add_argument("--warp", type=float, default=0.5, help="strength of the random warps; 0 for none")
    parser.add_argument("--low", type=float, default=0.3, help="least row threshold drawn")
    parser.add_argument("--high", type=float, default=0.5, help="largest row threshold drawn")
    parser.add_argument("--dense", type=float, default=0.25, help="share of a batch whose attention stays dense")
    parser.add_argument("--importance", choices=("absolute", "signed"), default="signed")
    parser.add_argument("--center-keys", choices=("none", "dynamic"), default="dynamic")
    parser.add_argument("--pruned-score", choices=SCORES, default="zero_in_denominator")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--integer-bits", type=int, default=4, help="of 16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", default=str(MODELS / "digits_vit{seed}.npz"), help="dense weights")
    parser.add_argument("--save", help="npz file for the trained weights; {seed} is filled in")
    return parser.parse_args(given)


def options_of(arguments):
    """HDP's options of the command line, without thresholds."""
    names = ("importance", "center_keys", "pruned_score", "scale", "integer_bits")
    return Hdp(**{name: getattr(arguments, name) for name in names}, fraction_bits=16 - arguments.integer_bits)


def on_calibration_images(weights):
    """The simulator's network of 64 tokens with these weights and the calibration images, and its dense outputs."""
    sets = [f"workload.weights={Path(weights).resolve()}", "workload.split=calibration"]
    model = load_model("digits_vit", sets)
    return model, Quality.of(model, run_model(model).output)


def judge(title, weights, reference, choose):
    """Print what a network does on the calibration images: dense, and with the thresholds that are chosen for it."""
    model, dense = on_calibration_images(weights)
    wrong, change = int((dense.scores(dense.dense) == 0).sum()), reference.margin_change(dense.dense)
    print(f"  {title}, dense: {wrong} wrong, change of margin {change:.3f}", flush=True)
    found = choose(Chooser(model, reference))
    print(
        f"  {title}, rho_b {found.options.rho_b}: {found.pruned:.1%} of blocks pruned, {found.wrong} wrong, "
        f"change of margin {found.change:.3f}",
        flush=True,
    )


def recover(seed, arguments, folder):
    """Train one network, choose its thresholds, and print what it does on the calibration images."""
    before, options = weights_of(arguments.weights, seed), options_of(arguments)
    after = weights_of(arguments.save, seed) if arguments.save else Path(folder) / "after.npz"
    start = time.perf_counter()
    save(after, named_arrays(DynamicRecovery(before, seed, options, arguments).run()))
    print(f"seed {seed}: trained in {time.perf_counter() - start:.0f} s", flush=True)
    _, reference = on_calibration_images(before)
    judge("before", before, reference, lambda chooser: chooser.shared(options, SHARE))
    judge("after", after, reference, lambda chooser: chooser.by_layer(options, SHARE))


def main():
    """Train and judge the networks that are named."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        for seed in arguments.seeds:
            recover(seed, arguments, folder)


if __name__ == "__main__":
    main()
