"""Small ONNX graphs, put together node by node in the ways that exporters have."""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HIDDEN, HEADS = 16, 2


class Graph:
    """A graph that is put together node by node."""

    def __init__(self, seed=0):
        self.nodes, self.constants = [], {}
        self.generator = np.random.default_rng(seed)

    def add(self, op, *inputs, outputs=1, **attributes):
        names = [f"{op}_{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def integers(self, *values):
        return self.constant(np.asarray(values, np.int64))

    def random(self, *shape):
        return self.constant((self.generator.standard_normal(shape) * 0.4).astype(np.float32))

    def number(self, value):
        return self.constant(np.asarray(value, np.float32))

    def linear(self, x, outputs, inputs=HIDDEN):
        return self.add("Add", self.random(outputs), self.add("MatMul", x, self.random(inputs, outputs)))

    def norm(self, x):
        return self.add("LayerNormalization", x, self.random(HIDDEN), self.random(HIDDEN), axis=-1, epsilon=1e-6)

    def norm_in_parts(self, x, epsilon=1e-5):
        centred = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        variance = self.add("ReduceMean", self.add("Pow", centred, self.number(2)), axes=[-1])
        unit = self.add("Div", centred, self.add("Sqrt", self.add("Add", variance, self.number(epsilon))))
        return self.add("Add", self.add("Mul", unit, self.random(HIDDEN)), self.random(HIDDEN))

    def gelu(self, x):
        inner = self.add("Erf", self.add("Div", x, self.number(math.sqrt(2))))
        return self.add("Mul", self.add("Mul", x, self.add("Add", inner, self.number(1))), self.number(0.5))

    def heads(self, x, items, tokens, perm=(0, 2, 1, 3), heads=HEADS, hidden=HIDDEN):
        return self.add(
            "Transpose", self.add("Reshape", x, self.integers(items, tokens, heads, hidden // heads)), perm=perm
        )

    def joined(self, context, hidden=HIDDEN):
        return self.add("Reshape", self.add("Transpose", context, perm=(0, 2, 1, 3)), self.integers(0, 0, hidden))

    def product(self, query, key_transposed, value, head_dim=HIDDEN // HEADS):
        scores = self.add("Div", self.add("MatMul", query, key_transposed), self.number(math.sqrt(head_dim)))
        return self.add("MatMul", self.add("Softmax", scores, axis=-1), value)

    def attention(self, x, items, tokens):
        query, key, value = (self.linear(x, HIDDEN) for _ in range(3))
        context = self.product(
            self.heads(query, items, tokens),
            self.heads(key, items, tokens, (0, 2, 3, 1)),
            self.heads(value, items, tokens),
        )
        return self.linear(self.joined(context), HIDDEN)

    def model(self, inputs, output, opset=17):
        made = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows", "columns"])
        graph = helper.make_graph(self.nodes, "g", inputs, [result], made)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def info(name, kind, *shape):
    return helper.make_tensor_value_info(name, kind, list(shape))


def floats(*shape, name="x"):
    return info(name, TensorProto.FLOAT, *shape)


def integers(*shape, name="ids"):
    return info(name, TensorProto.INT64, *shape)


def written(model, folder):
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"
