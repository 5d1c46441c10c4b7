"""From a file of weights to masks, packed weights and a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.patterns import Pattern
from accelsim.errors import OperandError
from accelsim.pruning.file_masks import read_pattern_masks
from accelsim.pruning.masks import Mask
from accelsim.pruning.packed import Packed, pack_mask
from accelsim.pruning.patterns import importance, prune, prune_in_stages
from accelsim.pruning.report import BINS, LayerReport, layer_report, rows_histogram, total_sparsity
from accelsim.pruning.scores import Matrix
from accelsim.pruning.weight_files import Orientation, as_matrix, from_matrix, prunable, read_tensors

SCHEMA_VERSION = 1
"""Of the report."""


@dataclass(frozen=True)
class Pruned:
    """Weights of a file after pruning."""

    file: str
    """Name without its folder, so that results do not depend on where a file lies."""
    pattern: Pattern
    tensors: Mapping[str, NDArray[Any]]
    """Before pruning, as the file holds them."""
    orientation: Orientation
    """How they lie."""
    masks: Mapping[str, Mask]
    """[k, n], n being a layer's outputs."""
    layers: Sequence[LayerReport]
    skipped: Sequence[str]
    """Tensors of the file that were left alone."""
    given_masks: bool
    """Whether masks came from a file instead of scores."""

    @property
    def sparsity(self) -> float:
        """Share of all layers' weights that is pruned."""
        return total_sparsity(self.layers)

    @property
    def histogram(self) -> NDArray[np.int64] | None:
        """Tiles by the share of rows that they keep (`rows_histogram`); None where the pattern has no tiles."""
        return None if self.layers[0].rows_per_tile is None else rows_histogram(self.layers)

    def matrices(self) -> dict[str, Matrix]:
        """Weights before pruning as matrices [k, n]."""
        return {name: as_matrix(array, self.orientation) for name, array in self.tensors.items()}

    def packed(self) -> dict[str, Packed]:
        """Kept weights in the packed form of the pattern, as float32."""
        return {name: pack_mask(array, self.masks[name]) for name, array in self.matrices().items()}

    def masked_tensors(self) -> dict[str, NDArray[Any]]:
        """Weights with zeros where they are pruned, in the shapes and orientation of the file."""
        masks = {
            name: from_matrix(self.masks[name].to_dense(), array.shape, self.orientation)
            for name, array in self.tensors.items()
        }
        return {name: np.where(masks[name], array, array.dtype.type(0)) for name, array in self.tensors.items()}

    def as_dict(self) -> dict[str, Any]:
        """The report: plain values in the order in which they are shown."""
        histogram = None
        if self.histogram is not None:
            edges = [index / BINS for index in range(BINS + 1)]
            histogram = {"share_of_k": edges, "tiles": self.histogram.tolist()}
        return {
            "schema_version": SCHEMA_VERSION,
            "file": self.file,
            "pattern": self.pattern.model_dump(mode="json"),
            "asked_sparsity": self.pattern.total_sparsity,
            "sparsity": self.sparsity,
            "orientation": self.orientation,
            "masks_from_file": self.given_masks,
            "layers": [layer.as_dict() for layer in self.layers],
            "rows_per_tile_histogram": histogram,
            "skipped": list(self.skipped),
        }


def prune_file(
    path: str | Path,
    pattern: Pattern,
    *,
    only: Sequence[str] = (),
    out_in: bool = False,
    gradients: str | Path | None = None,
    masks: str | Path | None = None,
    stages: Sequence[float] | None = None,
) -> Pruned:
    """Prune the tensors of a file.

    Parameters
    ----------
    path : str or path-like
        .npz or .safetensors.
    pattern : Pattern
    only : sequence of str
        See `accelsim.pruning.weight_files.read_tensors`. Without it, matrices are pruned and the rest is left alone.
    out_in : bool
        Whether tensors are [out, in], as PyTorch has them.
    gradients : str or path-like, optional
        File of gradients under the names and in the shapes of the weights, for the score ``taylor``.
    masks : str or path-like, optional
        Masks to apply in place of scoring; they must be of the pattern.
    stages : sequence of float, optional
        Sparsities of gradual pruning (`prune_in_stages`), the pattern's own last.

    Raises
    ------
    OperandError
        As `read_tensors`, `prune` and `read_pattern_masks`; also for options that exclude each other.
    """
    if masks is not None and (gradients is not None or stages is not None):
        raise OperandError("masks from a file leave nothing to score: give no gradients and no schedule with them")
    if stages is not None and gradients is not None:
        raise OperandError("gradients belong to the weights of one stage; take them without a schedule")
    orientation: Orientation = "out_in" if out_in else "in_out"
    readable, others = read_tensors(path, only)
    tensors, skipped = prunable(readable, named=bool(only))
    matrices = {name: as_matrix(array, orientation) for name, array in tensors.items()}
    if masks is not None:
        importance(matrices, pattern)  # refuses what cannot be pruned
        found = read_pattern_masks(masks, pattern, {name: (len(a), a.shape[1]) for name, a in matrices.items()})
    elif stages is not None:
        found = list(prune_in_stages(matrices, pattern, stages))[-1][1]
    else:
        slopes = None if gradients is None else _gradients(gradients, matrices, orientation)
        found = prune(matrices, pattern, slopes)
    layers = [layer_report(name, array, found[name]) for name, array in matrices.items()]
    return Pruned(Path(path).name, pattern, tensors, orientation, found, layers, skipped + others, masks is not None)


def _gradients(path: str | Path, names: Mapping[str, Any], orientation: Orientation) -> dict[str, Matrix]:
    arrays, _ = read_tensors(path)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise OperandError(f"{path}: no gradients of {missing[0]}; it holds {', '.join(arrays)}")
    return {name: as_matrix(arrays[name], orientation) for name in names}
