"""Weights and labelled images of a vision transformer."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.workload import VisionWorkload
from accelsim.errors import OperandError
from accelsim.model.drawing import describe_operands, draw_operands
from accelsim.model.graph import Network
from accelsim.model.operand_files import array_names, read_arrays
from accelsim.model.operand_set import Arrays, OperandSet, to_format


def load_vision(workload: VisionWorkload, network: Network, seed: int = 0) -> OperandSet:
    """Weights and images of a vision workload, rounded to the network's format; without files, drawn from the seed.

    Raises
    ------
    OperandError
        For a file that cannot be read, an array that is missing, unknown or of another shape, pixels or labels out of
        range, NaN or infinity.
    """
    if workload.weights is None:
        parameters = draw_operands(network, workload.operands, seed, network.dtype).parameters
        words = describe_operands(workload.operands, seed, network.dtype)
    else:
        parameters, words = load_weights(workload.weights, network), "trained weights"
    if workload.data is None:
        drawn = draw_operands(replace(network, parameters={}), workload.operands, seed, network.dtype)
        return OperandSet(drawn.inputs, parameters, f"{words} on patches drawn from seed {seed}")
    images, labels = load_images(workload)
    mean, deviation = np.asarray(workload.pixel_mean), np.asarray(workload.pixel_std)
    pixels = (images.reshape(*images.shape[:3], workload.channels) / workload.pixel_max - mean) / deviation
    return OperandSet(
        inputs={"patches": to_format("patches", cut_patches(pixels, workload.patch), network.dtype)},
        parameters=parameters,
        labels=labels,
        description=f"{words} on the first {len(images)} images of split {workload.split}",
    )


def load_weights(path: str, network: Network) -> Arrays:
    """Every parameter of a network from a .npz that names them alike, matrices stored as [inputs, outputs].

    Raises
    ------
    OperandError
        Naming the tensor, the expected and the found shape.
    """
    stored = read_arrays(path)
    for name, shape in network.parameters.items():
        if name not in stored:
            raise OperandError(f"{path}: no tensor {name}; the network needs it with shape {list(shape)}")
        if stored[name].shape != shape:
            raise OperandError(
                f"{path}: tensor {name} has shape {list(stored[name].shape)}, the network needs {list(shape)}"
            )
    unknown = sorted(set(stored) - set(network.parameters))
    if unknown:
        raise OperandError(f"{path}: the network has no tensor {', '.join(unknown)}; check layers and names")
    return {name: to_format(f"{path}: {name}", stored[name], network.dtype) for name in network.parameters}


def load_images(workload: VisionWorkload) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Images [count, height, width], of several channels [count, height, width, channels], and labels [count] of the
    workload's split, checked against its sizes; None where the file has no labels and no metric asks for them.

    Raises
    ------
    OperandError
        For arrays that are missing or do not fit the workload.
    """
    path, split = str(workload.data), workload.split
    wanted = [f"{split}_images"]
    if workload.metric is not None or f"{split}_labels" in array_names(path):
        wanted.append(f"{split}_labels")
    stored = read_arrays(path, tuple(wanted))
    images, labels = stored[f"{split}_images"], stored.get(f"{split}_labels")
    check_images(workload, path, images, labels)
    count = len(images) if workload.images is None else workload.images
    if count > len(images):
        raise OperandError(f"{path}: split {split} has {len(images)} images, workload.images asks for {count}")
    return images[:count], None if labels is None else labels[:count].astype(np.int64)


def check_images(workload: VisionWorkload, path: str, images: NDArray[Any], labels: NDArray[Any] | None) -> None:
    """Check images and labels of a split against the sizes of a workload.

    Parameters
    ----------
    workload : VisionWorkload
    path : str
        Of the file, for messages.
    images : array [count, height, width], or [count, height, width, channels]
    labels : array [count] or None

    Raises
    ------
    OperandError
    """
    split = workload.split
    extents = "" if workload.channels == 1 else f", {workload.channels}"
    fits = images.ndim == 3 if workload.channels == 1 else images.ndim == 4 and images.shape[3] == workload.channels
    if not fits or (labels is not None and labels.shape != images.shape[:1]) or images.size == 0:
        found = "" if labels is None else f" and {list(labels.shape)}"
        raise OperandError(
            f"{path}: {split}_images must be [count, height, width{extents}], not empty, and {split}_labels [count], "
            f"found {list(images.shape)}{found}"
        )
    height, width = images.shape[1:3]
    patch, patches = workload.patch, workload.sequence - workload.class_token
    if height % patch or width % patch or (height // patch) * (width // patch) != patches:
        beside = ", less the class token" if workload.class_token else ""
        raise OperandError(
            f"{path}: images of {height} x {width} pixels do not make {patches} patches (workload.sequence{beside}) "
            f"of {patch} x {patch} (workload.patch)"
        )
    if images.min() < 0 or not images.max() <= workload.pixel_max:
        raise OperandError(f"{path}: pixels of {split}_images must lie in 0 .. {workload.pixel_max:g}")
    if labels is not None and workload.classes is None:
        raise OperandError(f"{path}: {split}_labels need a classifier; set workload.classes, or leave labels out")
    if labels is not None and workload.classes is not None:
        _check_labels(f"{path}: {split}_labels", labels, workload.classes)


def _check_labels(name: str, labels: NDArray[Any], classes: int) -> None:
    if labels.dtype.kind not in "iu":
        raise OperandError(f"{name} must be integers in 0 .. {classes - 1}, found {labels.dtype}")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise OperandError(f"{name} must be integers in 0 .. {classes - 1}; row {wrong[0]} is {labels[wrong[0]]}")


def count_images(workload: VisionWorkload) -> int:
    """Images that the workload takes from its split."""
    return len(load_images(workload)[0])


def cut_patches(images: NDArray[Any], patch: int) -> NDArray[Any]:
    """[count, height, width] to [count * patches, patch^2]: patches row by row, and pixels row by row within each.

    Images [count, height, width, channels] make [count * patches, patch^2 * channels], the channels of a pixel side by
    side.
    """
    count, height, width, *channels = images.shape
    parts = images.reshape(count, height // patch, patch, width // patch, patch, *channels).swapaxes(2, 3)
    depth = patch * patch * (channels[0] if channels else 1)
    return np.ascontiguousarray(parts).reshape(-1, depth)


def accuracy(logits: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Share of images whose largest logit [images, classes] is at their label (the first one on a tie)."""
    return float(np.mean(np.argmax(logits, axis=1) == labels))
