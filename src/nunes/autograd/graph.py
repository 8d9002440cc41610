"""The dynamic computation graph: what an operation is, and how gradients flow back through it.

Every operation is a `Function` that sees plain arrays only. Applying one to tensors (`nunes.tensor.apply`)
records it as the `node` of its output, and as its `edges` the nodes that computed its inputs, or the inputs
themselves where they are leaves; `backward` walks these edges from the root to the leaves. An edge leads to no array
between: what no operation has kept for its backward pass is free at once. Nothing in this file knows about
arithmetic, layers or networks.
"""

from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np


class Function:
    """One differentiable operation and, once applied, one node of the graph.

    A subclass takes its options (a stride, an axis) in its constructor, or in `forward` behind a "/", and defines

        forward(*arrays) -> array            keeping on `self` whatever `backward` will need
        backward(gradient) -> array | tuple  the vector-Jacobian product: given dL/d(output), one
                                             dL/d(input) for each input, None where `needs` says no

    Neither may write into the arrays that it is given.
    """

    edges = None  # a Function or a leaf tensor for each input, once applied; None again when the graph has been freed
    needs = ()  # one bool an input: is its gradient wanted?
    versions = ()  # of each input when the function was applied

    def release(self):
        """Drop the saved arrays and the edges, so that memory is free before the next step begins."""
        self.__dict__.clear()


AGAIN = "compute the output again"
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
    """All that `root` depends on and that needs a gradient, functions and leaf tensors, inputs before outputs.

    Depth-first with an explicit stack: a long chain of operations must not overflow Python's own.
    """
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, inputs_are_done = stack.pop()
        if inputs_are_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            if isinstance(node, Function):
                if node.edges is None:
                    raise RuntimeError(f"backward: this graph was freed by an earlier backward(); {AGAIN}")
                for each, needed, version in zip(node.edges, node.needs, node.versions, strict=True):
                    if not isinstance(each, Function) and each.version != version:
                        raise RuntimeError(f"backward: a leaf of shape {each.shape} was changed after its use; {AGAIN}")
                    if needed:
                        stack.append((each, False))
    return order


def backward(root, gradient):
    """Add dL/d(leaf) to the `.grad` of every leaf below `root`, given `gradient` = dL/d(root), then free the graph.

    In reverse topological order all consumers of an array come before the function that computed it, so when its turn
    comes its gradient is complete: the chain rule's sum over paths.
    """
    order = topological_order(root)
    gradients = {id(root): gradient}
    handed_out = {_memory(gradient)}
    while order:
        node = order.pop()
        gradient = gradients.pop(id(node))
        if not isinstance(node, Function):  # a leaf
            gradient = np.asarray(gradient, node.dtype)
            if node.grad is not None:
                node.grad = node.grad + gradient
            else:  # two leaves must not share memory: x + y hands one array to both
                own = gradient.flags.carray and _memory(gradient) not in handed_out
                node.grad = gradient if own else gradient.copy()
                handed_out.add(_memory(node.grad))
            continue
        input_gradients = node.backward(gradient)
        if not isinstance(input_gradients, tuple):
            input_gradients = (input_gradients,)
        for each, needed, contribution in zip(node.edges, node.needs, input_gradients, strict=True):
            if needed:
                known = gradients.get(id(each))
                gradients[id(each)] = contribution if known is None else known + contribution
        node.release()
        del gradient, input_gradients, contribution  # not to be held while the next one is computed


def _memory(array):
    """What tells arrays apart that share no memory: the array that owns it."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return id(array)
