"""The dynamic computation graph: what an operation is, and how gradients flow back through it.

Every operation is a `Function` that sees plain arrays only. Applying one to tensors (`nunes.tensor.apply`)
records it as the `node` of its output, with its `inputs` as the edges; `backward` walks these edges from the
root to the leaves. Nothing in this file knows about arithmetic, layers or networks.
"""

from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np


class Function:
    """One differentiable operation and, once applied, one node of the graph.

    A subclass takes its options (a stride, an axis) in its constructor and defines

        forward(*arrays) -> array            keeping on `self` whatever `backward` will need
        backward(gradient) -> array | tuple  the vector-Jacobian product: given dL/d(output), one
                                             dL/d(input) for each input, None where `needs` says no

    Neither may write into the arrays that it is given.
    """

    inputs = None  # tuple of tensors once applied; None again when the graph has been freed
    needs = ()  # one bool an input: is its gradient wanted?

    def release(self):
        """Drop the saved arrays and the edges, so that memory is free before the next step begins."""
        self.__dict__.clear()


_recording = ContextVar("recording", default=True)  # of this thread


def is_recording():
    """Whether operations are being recorded in the graph."""
    return _recording.get()


@contextmanager
def no_grad():
    """Record nothing inside this block (or decorated function): for evaluation, and for updating parameters."""
    before = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(before)


def topological_order(root):
    """The tensors that `root` depends on and that need a gradient, inputs before outputs.

    Depth-first with an explicit stack: a long chain of operations must not overflow Python's own.
    """
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        tensor, inputs_are_done = stack.pop()
        if inputs_are_done:
            order.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            if tensor.node is not None:
                if tensor.node.inputs is None:
                    raise RuntimeError(
                        "backward: this graph was freed by an earlier backward(); compute the output again"
                    )
                edges = zip(tensor.node.inputs, tensor.node.needs, strict=True)
                stack.extend((each, False) for each, needed in edges if needed)
    return order


def backward(root, gradient):
    """Add dL/d(leaf) to the `.grad` of every leaf below `root`, given `gradient` = dL/d(root), then free the graph.

    In reverse topological order all consumers of a tensor come before it, so when its turn comes its gradient
    is complete: the chain rule's sum over paths.
    """
    gradients = {id(root): gradient}
    handed_out = {id(gradient)}
    for tensor in reversed(topological_order(root)):
        gradient = gradients.pop(id(tensor))
        node = tensor.node
        if node is None:  # a leaf
            gradient = np.asarray(gradient, tensor.dtype)
            if tensor.grad is not None:
                tensor.grad = tensor.grad + gradient
            else:  # two leaves must not share memory: x + y hands one array to both
                shared = gradient.base is not None or id(gradient) in handed_out
                tensor.grad = gradient.copy() if shared else gradient
                handed_out.add(id(tensor.grad))
            continue
        input_gradients = node.backward(gradient)
        if not isinstance(input_gradients, tuple):
            input_gradients = (input_gradients,)
        for each, needed, contribution in zip(node.inputs, node.needs, input_gradients, strict=True):
            if needed:
                known = gradients.get(id(each))
                gradients[id(each)] = contribution if known is None else known + contribution
        node.release()
