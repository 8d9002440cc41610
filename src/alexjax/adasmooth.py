"""AdaSmooth and AdaSmoothDelta (Lu 2022, arXiv 2204.00825) as optax transformations.

In the order of optax's own files: the state, `scale_by_adasmooth`, `adasmooth`; then the same for the Delta form.
The comments record where the paper leaves a choice open and what we chose.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import ScalarOrSchedule


class ScaleByAdasmoothState(NamedTuple):
    """State of `scale_by_adasmooth` and `scale_by_adasmooth_delta`."""

    count: jax.Array  # shape=(), dtype=int32: steps taken
    displacement: optax.Updates  # like params: s, the sum of the window's updates
    distance: optax.Updates  # like params: n, the sum of their absolute values
    nu: optax.Updates  # like params: v, the average of squared gradients
    mu: optax.Updates | None = None  # like params: m, the average of gradients; None without momentum
    delta: optax.Updates | None = None  # like params: u, the average of squared updates; of the Delta form


def scale_by_adasmooth(
    learning_rate: ScalarOrSchedule = 1e-3,
    rho1: jax.typing.ArrayLike = 0.5,
    rho2: jax.typing.ArrayLike = 0.99,
    eps: jax.typing.ArrayLike = 1e-6,
    window: jax.typing.ArrayLike | None = None,
    initial_ratio: jax.typing.ArrayLike = 1.0,
    accumulator_dtype: Any | None = None,
    beta1: jax.typing.ArrayLike | None = None,
) -> optax.GradientTransformation:
    r"""Rescale updates according to the AdaSmooth algorithm.

    The updates are :math:`g_t / \sqrt{v_t + \epsilon}`, not yet multiplied by the learning rate. The learning rate
    is needed all the same, because the effective ratio is measured on the steps that are applied; where it is
    constant it cancels, under a schedule it does not. See :func:`adasmooth` for the algorithm and the arguments.

    Returns:
      A :class:`optax.GradientTransformation` object.

    Raises:
      ValueError: a constant is known and out of range.
    """
    return _scale_by("adasmooth", learning_rate, rho1, rho2, eps, window, initial_ratio, accumulator_dtype, beta1)


def adasmooth(
    learning_rate: ScalarOrSchedule = 1e-3,
    rho1: jax.typing.ArrayLike = 0.5,
    rho2: jax.typing.ArrayLike = 0.99,
    eps: jax.typing.ArrayLike = 1e-6,
    window: jax.typing.ArrayLike | None = None,
    initial_ratio: jax.typing.ArrayLike = 1.0,
    weight_decay: jax.typing.ArrayLike | None = None,
    mask: Any | Callable[[optax.Params], Any] | None = None,
    accumulator_dtype: Any | None = None,
    beta1: jax.typing.ArrayLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""The AdaSmooth optimizer.

    RMSProp with a decay constant for each coordinate and step, set by how straight the coordinate has moved:

    .. math::

      \begin{align*}
        e_t &= |s_t| / n_t \\
        c_t &= (\rho_2 - \rho_1) e_t + (1 - \rho_2) \\
        v_t &= c_t^2 g_t^2 + (1 - c_t^2) v_{t-1} \\
        \Delta x_t &= - \eta g_t / \sqrt{v_t + \epsilon}
      \end{align*}

    where :math:`s_t` is the sum of the updates :math:`\Delta x` of the current window before step :math:`t` and
    :math:`n_t` the sum of their absolute values, so that the effective ratio :math:`e_t` is 1 on a straight path
    and near 0 on a zigzag. There is no momentum (unless `beta1` adds it) and no bias
    correction. With :math:`\rho_1 = \rho_2 = 0.9` it is RMSProp with decay 0.99.

    Where the paper leaves a choice open:

    * At the first step, and for a coordinate that has not moved in the current window, the ratio is 0/0. It is
      `initial_ratio` there. With 1 the first step is at most :math:`2 \eta`; with 0 it would be up to
      :math:`100 \eta`, because :math:`v_0 = 0` and :math:`c_1^2 = (1 - \rho_2)^2 = 10^{-4}`.
    * The paper's sums run from the start of an epoch. With `window` steps an epoch, the first step of an epoch
      sees the last update of the one before it alone (so its ratio is 1), as the paper's index M = 1 says.
    * A gradient whose square overflows counts as the largest whose square does not, with its own sign.
    * Weight decay is not in the paper. It is decoupled, as in AdamW, and does not enter the ratio.
    * Momentum is not in the paper. With `beta1` the numerator is Adam's average of gradients with its correction of the
      bias, :math:`(1 - \beta_1) \sum_i \beta_1^i g_{t-i} / (1 - \beta_1^t)`, so that AdaSmooth and Adam differ in the
      denominator alone. Without, it is the paper's rule, and no array is kept for it.

    Args:
      learning_rate: A global scaling factor, either fixed or evolving along iterations with a scheduler.
      rho1: The fast decay constant, for a coordinate that moves straight on.
      rho2: The slow decay constant, at least `rho1`, for one that moves to and fro.
      eps: A small constant inside the square root.
      window: The number of steps after which the ratio is measured anew (the steps of an epoch in the paper);
        `None` for all of training.
      initial_ratio: The ratio of a coordinate that has not moved in the current window.
      weight_decay: Strength of the decoupled weight decay, or `None`. It is multiplied with the learning rate.
      mask: A tree with same structure as (or a prefix of) the params PyTree, or a callable that returns one: where
        to apply the weight decay.
      accumulator_dtype: The dtype of the accumulators; by default that of the parameters, but at least float32,
        because :math:`1 - 10^{-4}` rounds to 1 in bfloat16.
      beta1: The decay of the average of gradients; `None` or 0 for none.

    Returns:
      The corresponding :class:`optax.GradientTransformationExtraArgs`.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from alexjax import adasmooth
      >>> def f(x): return jnp.sum(x ** 2)  # simple quadratic function
      >>> solver = adasmooth(learning_rate=0.003)
      >>> params = jnp.array([1., 2., 3.])
      >>> opt_state = solver.init(params)
      >>> for _ in range(5):
      ...  grad = jax.grad(f)(params)
      ...  updates, opt_state = solver.update(grad, opt_state, params)
      ...  params = optax.apply_updates(params, updates)
      ...  print('Objective function: {:.2E}'.format(f(params)))
      Objective function: 1.39E+01
      Objective function: 1.39E+01
      Objective function: 1.38E+01
      Objective function: 1.38E+01
      Objective function: 1.37E+01

    References:
      Lu, `AdaSmooth: An Adaptive Learning Rate Method based on Effective Ratio
      <https://arxiv.org/abs/2204.00825>`_, 2022
    """
    constants = (rho1, rho2, eps, window, initial_ratio, accumulator_dtype, beta1)
    return _alias(scale_by_adasmooth(learning_rate, *constants), learning_rate, weight_decay, mask)


def scale_by_adasmooth_delta(
    learning_rate: ScalarOrSchedule = 0.5,
    rho1: jax.typing.ArrayLike = 0.5,
    rho2: jax.typing.ArrayLike = 0.99,
    eps: jax.typing.ArrayLike = 1e-6,
    window: jax.typing.ArrayLike | None = None,
    initial_ratio: jax.typing.ArrayLike = 1.0,
    accumulator_dtype: Any | None = None,
) -> optax.GradientTransformation:
    r"""Rescale updates according to the AdaSmoothDelta algorithm.

    The updates are :math:`\sqrt{u_{t-1} + \epsilon} / \sqrt{v_t + \epsilon} \cdot g_t`, not yet multiplied by the
    learning rate. See :func:`adasmooth_delta` for the algorithm and the arguments; raises as `scale_by_adasmooth`.

    Returns:
      A :class:`optax.GradientTransformation` object.
    """
    return _scale_by("adasmooth_delta", learning_rate, rho1, rho2, eps, window, initial_ratio, accumulator_dtype)


def adasmooth_delta(
    learning_rate: ScalarOrSchedule = 0.5,
    rho1: jax.typing.ArrayLike = 0.5,
    rho2: jax.typing.ArrayLike = 0.99,
    eps: jax.typing.ArrayLike = 1e-6,
    window: jax.typing.ArrayLike | None = None,
    initial_ratio: jax.typing.ArrayLike = 1.0,
    weight_decay: jax.typing.ArrayLike | None = None,
    mask: Any | Callable[[optax.Params], Any] | None = None,
    accumulator_dtype: Any | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""The AdaSmoothDelta optimizer: AdaSmooth's memory in AdaDelta's rule.

    .. math::

      \begin{align*}
        \Delta x_t &= - \eta \frac{\sqrt{u_{t-1} + \epsilon}}{\sqrt{v_t + \epsilon}} g_t \\
        u_t &= (1 - c_t^2) \Delta x_t^2 + c_t^2 u_{t-1}
      \end{align*}

    with :math:`c_t` and :math:`v_t` as in :func:`adasmooth`. The paper's formula is circular (:math:`u_t` and
    :math:`\Delta x_t` need each other) and has no :math:`\epsilon` in the numerator, so that it would never leave
    zero: we use the previous average and AdaDelta's :math:`\epsilon`.

    In the paper's average of squared updates :math:`c_t^2` stands where :math:`1 - c_t^2` stands in :math:`v_t`, so
    that it remembers little but the last update, and the steps grow or shrink by a factor each time. With the paper's
    constants they leave Rosenbrock's function for infinity; with a rate of 0.1 and `eps` of 1e-4 they do not.

    Args:
      learning_rate: A global scaling factor, either fixed or evolving along iterations with a scheduler.
      rho1: The fast decay constant.
      rho2: The slow decay constant, at least `rho1`.
      eps: A small constant inside both square roots.
      window: The number of steps in a window, or `None`.
      initial_ratio: The ratio of a coordinate that has not moved in the current window.
      weight_decay: Strength of the decoupled weight decay, or `None`.
      mask: Where to apply the weight decay.
      accumulator_dtype: The dtype of the accumulators; at least float32 by default.

    Returns:
      The corresponding :class:`optax.GradientTransformationExtraArgs`.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from alexjax import adasmooth_delta
      >>> solver, params = adasmooth_delta(learning_rate=0.5), jnp.array([1., 2., 3.])
      >>> updates, opt_state = solver.update(2 * params, solver.init(params), params)
      >>> print('{:.4f}'.format(jnp.sum(optax.apply_updates(params, updates) ** 2)))
      13.9880

    References:
      Lu, `AdaSmooth: An Adaptive Learning Rate Method based on Effective Ratio
      <https://arxiv.org/abs/2204.00825>`_, 2022

      Zeiler, `ADADELTA: An Adaptive Learning Rate Method <https://arxiv.org/abs/1212.5701>`_, 2012
    """
    constants = (rho1, rho2, eps, window, initial_ratio, accumulator_dtype)
    return _alias(scale_by_adasmooth_delta(learning_rate, *constants), learning_rate, weight_decay, mask)


def _scale_by(name, learning_rate, rho1, rho2, eps, window, initial_ratio, accumulator_dtype, beta1=None):
    """Both forms: they share the ratio and v, and differ in what stands over the root of v."""
    _check_constants(name, rho1, rho2, eps, window, initial_ratio, beta1)
    is_delta = name == "adasmooth_delta"

    def init_fn(params):
        def like(p):
            return jnp.zeros_like(p, accumulator_dtype or jnp.promote_types(jnp.result_type(p), jnp.float32))

        def zeros():
            return jax.tree.map(like, params)

        mu = None if beta1 is None or (_known(beta1) and beta1 == 0) else zeros()
        delta = zeros() if is_delta else None
        return ScaleByAdasmoothState(jnp.zeros([], jnp.int32), zeros(), zeros(), zeros(), mu, delta)

    def update_fn(updates, state, params=None):
        del params
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        count, mu, delta = optax.safe_increment(state.count), state.mu, state.delta
        gradients, c2, nu = _second_moment(updates, state, rho1, rho2, initial_ratio)
        if is_delta:
            scaled = jax.tree.map(lambda g, v, u: g * jnp.sqrt((u + eps) / (v + eps)), gradients, nu, delta)
            delta = jax.tree.map(
                lambda c2, d, u: (1 - c2) * jnp.square(rate * d).astype(u.dtype) + c2 * u, c2, scaled, delta
            )
        elif mu is not None:
            mu = optax.tree.cast_like(optax.tree.update_moment(gradients, mu, beta1, 1), mu)
            unbiased = optax.tree.bias_correction(mu, beta1, count)
            scaled = jax.tree.map(lambda m, v: m / jnp.sqrt(v + eps), unbiased, nu)
        else:
            scaled = jax.tree.map(lambda g, v: g / jnp.sqrt(v + eps), gradients, nu)
        # The sign of the updates is left out of the sums: it does not change the ratio.
        keep = 1 if window is None else jnp.where(count % window == 0, 0, 1)
        displacement = jax.tree.map(lambda s, d: (keep * s + rate * d).astype(s.dtype), state.displacement, scaled)
        distance = jax.tree.map(lambda n, d: (keep * n + jnp.abs(rate * d)).astype(n.dtype), state.distance, scaled)
        state = ScaleByAdasmoothState(count, displacement, distance, nu, mu, delta)
        return optax.tree.cast_like(scaled, updates), state

    return optax.GradientTransformation(init_fn, update_fn)


def _second_moment(updates, state, rho1, rho2, initial_ratio):
    """The gradients in the accumulators' dtype, c² from the effective ratio of the past steps, and v with both."""

    def coefficient(s, n):
        ratio = jnp.where(n > 0, jnp.abs(s) / jnp.where(n > 0, n, 1), initial_ratio)
        return jnp.square((rho2 - rho1) * ratio + (1 - rho2)).astype(s.dtype)

    def representable(g, v):  # so that its square is finite
        bound = 0.5 * jnp.finfo(v.dtype).max ** 0.5
        return jnp.clip(jnp.asarray(g, v.dtype), -bound, bound)

    gradients = jax.tree.map(representable, updates, state.nu)
    c2 = jax.tree.map(coefficient, state.displacement, state.distance)
    return gradients, c2, jax.tree.map(lambda c2, g, v: c2 * jnp.square(g) + (1 - c2) * v, c2, gradients, state.nu)


def _alias(scale_by, learning_rate, weight_decay, mask):
    decay = [] if weight_decay is None else [optax.add_decayed_weights(weight_decay, mask)]
    return optax.chain(scale_by, *decay, optax.scale_by_learning_rate(learning_rate))


def _known(*values):
    return not any(isinstance(value, jax.core.Tracer) for value in values)


def _check_constants(name, rho1, rho2, eps, window, initial_ratio, beta1):
    """Check what is known now: under `inject_hyperparams` the constants are tracers and pass unseen."""

    if _known(rho1, rho2) and not 0 <= rho1 <= rho2 < 1:
        raise ValueError(f"{name}: needs 0 <= rho1 <= rho2 < 1, got rho1={rho1} and rho2={rho2}")
    if _known(eps) and not 0 < eps < float("inf"):
        raise ValueError(f"{name}: eps must be positive and finite, got {eps}")
    if window is not None and _known(window) and not (window >= 1 and window % 1 == 0):
        raise ValueError(f"{name}: window must be None or a whole number of steps, at least 1, got {window}")
    if _known(initial_ratio) and not 0 <= initial_ratio <= 1:
        raise ValueError(f"{name}: initial_ratio must lie in [0, 1], got {initial_ratio}")
    if beta1 is not None and _known(beta1) and not 0 <= beta1 < 1:
        raise ValueError(f"{name}: beta1 must lie in [0, 1), got {beta1}")
