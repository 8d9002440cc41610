"""The paper's two small networks in JAX: against nunes' in float64, and against XLA's own convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nunes.autograd.functional as F
from alexjax import alexnet, digits
from nunes import Tensor
from nunes.models import CNN, MLP


@pytest.mark.parametrize("network", [MLP, CNN])
def test_logits_and_gradients_are_those_of_nunes(network, x64, generator):
    model, images, labels = network(seed=3).astype(np.float64).eval(), generator.random((5, 28, 28, 1)), np.arange(5)
    loss = F.cross_entropy(model(Tensor(images)), labels)
    loss.backward()

    def loss_of(params):
        return alexnet.cross_entropy(digits.apply(params, jnp.asarray(images)), labels)

    params = alexnet.from_state_dict(model.state_dict())
    theirs, gradients = jax.value_and_grad(loss_of)(params)
    np.testing.assert_allclose(loss.item(), theirs, rtol=1e-12)
    for name, parameter in model.named_parameters():
        layer, kind = name.split(".")
        np.testing.assert_allclose(parameter.grad, gradients[layer][kind], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("network", "count"), [(MLP, 784 * 128 + 128 + 1290), (CNN, 260 + 5020 + 16050 + 510)])
def test_sizes(network, count):
    params = alexnet.from_state_dict(network().state_dict())
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


@pytest.mark.parametrize("network", [MLP, CNN])
def test_dropout_needs_a_key(network, generator):
    params = alexnet.from_state_dict(network().state_dict())
    images = jnp.asarray(generator.random((4, 28, 28, 1)), jnp.float32)
    plain = digits.apply(params, images)
    np.testing.assert_array_equal(plain, digits.apply(params, images, dropout=0.9))
    one, same, other = (digits.apply(params, images, key=jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - plain).max() > 0.1
    assert np.abs(one - other).max() > 0.1
