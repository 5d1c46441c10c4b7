"""
Attention under hybrid dynamic pruning in torch, as a network meets it in training.

Which 2 x 2 blocks stay is decided as `accelsim.kernels.hdp_decision` decides it, from the same integers, and is a
constant to the gradient. Scores are those of the fixed point, which drops the product of the fractions: they count in
the forward pass, and gradients pass as if the scores were exact (straight through). What else the fixed point rounds,
the last bits of operands and probabilities and the exponential, is left to the simulator: it is far smaller.
"""

import math

import torch
from torch.nn import functional


def row_thresholds(importance, rho_b):
    """
    Importance from which a block of each row stays.

    Parameters
    ----------
    importance : Tensor
        float64 of whole numbers, ``[batch, heads, blocks, blocks]``.
    rho_b : Tensor
        float64 ``[batch]``, each from -1 to 1: between the row's minimum (-1), mean (0) and maximum (1).

    Returns
    -------
    Tensor
        float64 ``[batch, heads, blocks, 1]``.
    """
    low, high = importance.amin(dim=-1, keepdim=True), importance.amax(dim=-1, keepdim=True)
    mean = importance.sum(dim=-1, keepdim=True) / importance.shape[-1]
    rho = rho_b[:, None, None, None]
    threshold = mean + rho * torch.where(rho >= 0, high - mean, mean - low)
    return torch.where(rho <= -1, low, threshold.clamp(low, high))


class PrunedAttention:
    """
    Attention with HDP's row thresholds, for an even number of tokens; heads are never pruned.

    Parameters
    ----------
    options : accelsim.config.options.Hdp
        Switches and number format. Thresholds are not read from it.

    Attributes
    ----------
    rho_b : Tensor
        ``[batch]`` row thresholds of the images to come.

    Raises
    ------
    ValueError
        For switches that it does not know: keys centred on a mean taken beforehand, top-k, or other roundings.
    """

    def __init__(self, options):
        known = options.center_keys in ("none", "dynamic") and options.rounding == "truncate"
        if not known or options.selection != "threshold":
            raise ValueError("training knows keys centred dynamically or not, truncation and row thresholds alone")
        self.options = options
        self.rho_b = torch.zeros(1)

    def decide(self, query, key):
        """
        Which blocks stay, and what dropping the product of the fractions takes from the scores.

        Parameters
        ----------
        query, key : Tensor
            ``[batch, heads, tokens, head_dim]``; keys already without their mean, in float64.

        Returns
        -------
        kept : Tensor
            bool ``[batch, heads, blocks, blocks]``.
        dropped : Tensor
            float32 ``[batch, heads, tokens, tokens]``, of scores before they are divided by the root of head_dim.
        """
        with torch.no_grad():
            (whole_query, part_query), (whole_key, part_key) = self._split(query), self._split(key)
            scores = whole_query @ whole_key.transpose(-1, -2)
            if self.options.importance == "absolute":
                scores = scores.abs()
            blocks = functional.avg_pool2d(scores, 2, divisor_override=1).double()
            kept = blocks >= row_thresholds(blocks, self.rho_b.double())
            if not self.options.approximation:
                return kept, torch.zeros(())
            return kept, (part_query @ part_key.transpose(-1, -2)) / self.options.scale**2

    def _split(self, operand):
        """Whole parts and fractions of scaled operands in fixed point, float32: it holds both, and sums of products of
        whole parts while these stay below 2^24."""
        steps = 2.0**self.options.fraction_bits
        half = 2.0 ** (self.options.integer_bits + self.options.fraction_bits - 1)
        held = torch.round(operand.double() * (self.options.scale * steps)).clamp(-half, half - 1) / steps
        whole = held.trunc()
        return whole.float(), (held - whole).float()

    def centred(self, key):
        """Keys in float64, without their mean over the tokens where the options say so."""
        key = key.double()
        return key - key.cumsum(dim=-2)[..., -1:, :] / key.shape[-2] if self.options.center_keys == "dynamic" else key

    def __call__(self, query, key, value):
        key = self.centred(key)
        kept, dropped = self.decide(query, key)
        pairs = kept.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
        scores = (query @ key.float().transpose(-1, -2) - dropped) / math.sqrt(query.shape[-1])
        seen = -math.inf if self.options.pruned_score == "excluded" else 0.0
        shares = torch.softmax(scores.masked_fill(~pairs, seen), dim=-1)
        if self.options.pruned_score == "zero_in_denominator":
            shares = shares.masked_fill(~pairs, 0.0)
        return shares @ value
