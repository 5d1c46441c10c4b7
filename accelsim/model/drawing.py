"""Operands drawn from a seed, on the grid of the format that the machine computes in."""

import hashlib

import numpy as np

from accelsim.config.workload import Operands
from accelsim.errors import OperandError
from accelsim.model.graph import Gemm, Network
from accelsim.model.operand_set import INT8_MAX, Array, OperandSet, to_format

BIAS_SCALE = 0.02
"""Standard deviation (half range) of biases of products: small beside what they are added to."""
INT8_DEVIATIONS = 4
"""An int8 operand of scale 1 reaches 127 at so many standard deviations."""


def draw_operands(network: Network, spec: Operands, seed: int, dtype: str) -> OperandSet:
    """Inputs and parameters of a network, each tensor from a generator of its own.

    A tensor's generator is seeded by `seed` and the tensor's name, so that its values depend neither on the order of
    tensors nor on which others there are. Gains are 1, shifts of norms 0, and rows of inputs that stand for the output
    of a LayerNorm have mean 0 and standard deviation `spec.activation_scale` before they are rounded.

    Parameters
    ----------
    network : Network
        Names and shapes of the tensors.
    spec : Operands
        Distribution and scales.
    seed : int
        Not negative.
    dtype : str
        Format that values are rounded to; int8 operands are integers in -127 .. 127.

    Returns
    -------
    OperandSet
        Described by `describe_operands`.

    Raises
    ------
    OperandError
        When values exceed the format's range, or an int8 network has more than products in it.
    """
    if dtype == "int8":
        _check_integer_network(network)
    inputs = {}
    for name, shape in network.inputs.items():
        if name in network.integer_inputs:
            inputs[name] = _generator(name, seed).integers(0, network.integer_inputs[name], shape)
            continue
        values = _draw(name, shape, spec, seed) * _activation_scale(spec, dtype)
        if name in network.normalised_inputs:
            values = _normalise(values, _activation_scale(spec, dtype))
        inputs[name] = _rounded(name, values, dtype)
    parameters = {
        name: _rounded(name, _draw_parameter(name, shape, spec, seed, dtype), dtype)
        for name, shape in network.parameters.items()
    }
    description = describe_operands(spec, seed, dtype, normalised=bool(network.normalised_inputs))
    return OperandSet(inputs, parameters, description)


def describe_operands(spec: Operands, seed: int, dtype: str, *, normalised: bool = False) -> str:
    """The distribution of drawn operands in words, for results to name it.

    ``normalised`` says that inputs stand for the output of a LayerNorm.
    """
    width = "standard deviation" if spec.distribution == "normal" else "half range"
    activations = f"{_activation_scale(spec, dtype):g}"
    if spec.weight_scale is not None or dtype == "int8":
        weights = f"{_weight_scale(spec, 1, dtype):g}"
    else:
        weights = "1/sqrt(k)" if spec.distribution == "normal" else "sqrt(3/k)"
    rows = ", rows of inputs normalised" if normalised else ""
    integers = ", rounded to integers within +-127" if dtype == "int8" else ""
    return (
        f"synthetic: {spec.distribution}, {width} {activations} (activations), {weights} (weights){rows}{integers}, "
        f"seed {seed}"
    )


def _rounded(name: str, values: Array, dtype: str) -> Array:
    return to_format(name, np.clip(values, -INT8_MAX, INT8_MAX) if dtype == "int8" else values, dtype)


def _check_integer_network(network: Network) -> None:
    for operation in network.operations:
        scaled = not isinstance(operation, Gemm) and getattr(operation, "function", "") not in ("im2col", "columns")
        if scaled or (isinstance(operation, Gemm) and operation.activation is not None):
            raise OperandError(
                f"{operation.name} needs scales for int8, which a workload does not hold: int8 values are computed for "
                "GEMMs, linear layers and convolutions alone; choose another dtype or run without values"
            )


def _activation_scale(spec: Operands, dtype: str) -> float:
    return spec.activation_scale * (_integer_scale(spec) if dtype == "int8" else 1.0)


def _integer_scale(spec: Operands) -> float:
    return INT8_MAX / INT8_DEVIATIONS if spec.distribution == "normal" else float(INT8_MAX)


def _weight_scale(spec: Operands, k: int, dtype: str) -> float:
    if dtype == "int8":
        return _integer_scale(spec) * (1.0 if spec.weight_scale is None else spec.weight_scale)
    if spec.weight_scale is not None:
        return spec.weight_scale
    # A uniform value of half range r has the standard deviation r / sqrt(3).
    return float((1.0 if spec.distribution == "normal" else np.sqrt(3.0)) / np.sqrt(k))


def _draw_parameter(name: str, shape: tuple[int, ...], spec: Operands, seed: int, dtype: str) -> Array:
    if name.endswith(".gain"):
        return np.ones(shape)
    if name.endswith("_norm.bias"):
        return np.zeros(shape)
    scale = BIAS_SCALE if len(shape) == 1 else _weight_scale(spec, shape[0], dtype)
    if len(shape) == 1 and dtype == "int8":
        scale = _integer_scale(spec)
    return _draw(name, shape, spec, seed) * scale


def _draw(name: str, shape: tuple[int, ...], spec: Operands, seed: int) -> Array:
    """Normal values of standard deviation 1, or uniform ones of half range 1."""
    generator = _generator(name, seed)
    if spec.distribution == "normal":
        return generator.standard_normal(shape, dtype=np.float32)
    return generator.uniform(-1.0, 1.0, shape)


def _generator(name: str, seed: int) -> np.random.Generator:
    words = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype="<u4")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *(int(word) for word in words)])))


def _normalise(values: Array, scale: float) -> Array:
    deviation = values.std(axis=1, keepdims=True)
    centred = values - values.mean(axis=1, keepdims=True)
    result: Array = centred / np.where(deviation > 0, deviation, 1) * scale
    return result
