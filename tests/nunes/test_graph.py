"""The engine: order, accumulation, freeing, and its error messages."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nunes.autograd.functional as F
from nunes import Tensor, nn, no_grad, optimizers


def leaf(*values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


def test_gradients_accumulate_over_shared_nodes():
    x = leaf(3.0)
    y = x * x + x  # x is reached by three edges, y' = 2x + 1
    z = y * y  # and y by two, z' = 2·y·y' = 2·12·7
    z.backward()
    assert x.grad.item() == 168


def test_a_diamond_is_visited_once():
    x = y = leaf(1.0)
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60  # as many paths


def test_a_long_chain_does_not_overflow_the_stack():
    x = leaf(1.0)
    y = x
    for _ in range(5000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1


def test_gradients_of_two_backwards_add_up():
    x = leaf(2.0)
    (x * 3.0).backward()
    (x * 4.0).backward()
    assert x.grad.item() == 7


def test_leaves_do_not_share_their_gradients_memory():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = np.ones(2)
    (x + y).backward(seed)
    x.grad *= 10
    np.testing.assert_array_equal(y.grad, [1, 1])
    np.testing.assert_array_equal(seed, [1, 1])


def test_the_graph_is_freed():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        y.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        (y + 1.0).backward()


def assign(layer):
    layer.weight.data = layer.weight.data.copy()


def add(layer):
    layer.weight.data -= 0.1


def step(layer):
    layer.weight.grad = np.ones_like(layer.weight.data)
    optimizers.SGD(layer.parameters()).step()
    layer.weight.grad = None


CHANGES = {
    "assigned": assign,
    "in place": add,
    "stepped": step,
    "loaded": lambda layer: layer.load_state_dict(layer.state_dict()),
    "converted": lambda layer: layer.astype(np.float64),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_leaf_that_was_changed_after_its_use_is_noticed(name):
    layer, x = nn.Linear(3, 2, bias=False), Tensor(np.ones((4, 3), np.float32), requires_grad=True)
    loss = F.tanh(layer(x)).sum()
    CHANGES[name](layer)
    with pytest.raises(RuntimeError, match=r"a leaf of shape \(3, 2\) was changed after its use; compute"):
        loss.backward()
    assert x.grad is layer.weight.grad is None  # nothing half done
    F.tanh(layer(x)).sum().backward()
    assert layer.weight.grad.shape == (3, 2)


def test_a_constant_that_was_changed_after_its_use_is_noticed():
    x, w = Tensor(np.ones(3)), leaf(1.0, 2.0, 3.0)
    y = (x * w).sum()
    x.data *= 2
    with pytest.raises(RuntimeError, match=r"a leaf of shape \(3,\) was changed"):
        y.backward()


def test_only_a_single_number_needs_no_seed():
    with pytest.raises(RuntimeError, match=r"shape \(2,\) is not a single number"):
        (leaf(1.0, 2.0) * 2.0).backward()
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\), the tensor \(2,\)"):
        (leaf(1.0, 2.0) * 2.0).backward(np.ones(3))
    with pytest.raises(RuntimeError, match="depends on nothing"):
        Tensor(np.ones(1)).backward()


def test_no_grad_records_nothing():
    x = leaf(1.0)
    with no_grad():
        y = x * 2.0
        with no_grad():
            pass
        assert not (x * 2.0).requires_grad
    assert y.node is None
    assert (x * 2.0).requires_grad


def test_constants_get_no_gradient_and_cost_none():
    x, w = Tensor(np.ones((1, 4, 4, 1))), Tensor(np.ones((2, 2, 1, 1)), requires_grad=True)
    y = F.conv2d(x, w)
    assert y.node.needs == (False, True)
    y.sum().backward()
    assert x.grad is None
    assert w.grad.sum() == 36


def test_no_grad_is_of_one_thread():
    with no_grad(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: (leaf(1.0) * 2.0).requires_grad).result()


def test_what_a_gradient_flows_to_is_decided_when_the_operation_runs():
    x, y = leaf(1.0), Tensor(np.ones(1))
    z = x * y
    y.requires_grad = True
    z.backward()
    assert y.grad is None
    assert x.grad.item() == 1


def test_a_gradient_has_its_leafs_dtype():
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    (x * Tensor(np.ones(2))).sum().backward()
    assert x.grad.dtype == np.float32


def test_numbers_do_not_become_integers():
    np.testing.assert_array_equal((Tensor([1, 2]) * 2.5).data, [2.5, 5])
    np.testing.assert_allclose((Tensor(np.array([51], np.uint8)) * (1 / 255)).data, 0.2, rtol=1e-6)
    assert Tensor([1, 2, 6]).mean().item() == pytest.approx(3)


def test_the_package_alone_is_enough():
    program = (
        "from nunes import Tensor; x = Tensor([1.0, 2.0], requires_grad=True); (2 * x).sum().backward(); print(x.grad)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "[2. 2.]\n", result.stderr


def test_tensors():
    np.testing.assert_array_equal(np.asarray(Tensor([1.0, 2.0])), [1, 2])
    assert Tensor(1.5).dtype == np.float32
    assert Tensor([1, 2]).dtype.kind == "i"
    assert Tensor(np.float64(1.5)).dtype == np.float64
    with pytest.raises(TypeError, match="only floating dtypes"):
        Tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match="already"):
        Tensor(Tensor(1.0))
    assert "requires_grad=True" in repr(leaf(1.0))
    assert "Multiply" in repr(leaf(1.0) * 2.0)
