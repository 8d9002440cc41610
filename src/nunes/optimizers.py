"""Optimizers, in the order of what they remember: nothing, one average, two, the path.

Each is an element-wise recurrence over the parameter x, its gradient g and the arrays kept beside it (`slots`),
written once in `update` for any block of elements. `step` cuts all arrays into blocks that fit the cache and
spreads them over the threads: an optimizer is bound by memory, so each block is read and written once.
"""

import numpy as np

from nunes import parallel


class Optimizer:
    """Base of all optimizers.

    Args:
        parameters: the tensors to be changed, e.g. `model.parameters()`. One without a gradient is left alone.
        learning_rate: a number, or a function of the step (0, 1, ...) that returns one.

    Raises:
        ValueError: there are no parameters, or one cannot be changed in place.
    """

    slots = ()  # names of the arrays kept beside each parameter, all zero at first

    def __init__(self, parameters, learning_rate):
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError(f"{type(self).__name__}: there are no parameters to optimize")
        for index, parameter in enumerate(self.parameters):
            if not parameter.requires_grad or not parameter.data.flags.carray:
                raise ValueError(
                    f"{type(self).__name__}: parameter {index} of shape {parameter.shape} must require a gradient and "
                    "own a contiguous, writeable array, as nn.Parameter does"
                )
        self.learning_rate = learning_rate
        self.count = 0  # steps taken
        self.state = {name: [np.zeros_like(p.data, order="C") for p in self.parameters] for name in self.slots}

    def step(self):
        """Change every parameter that has a gradient, in place."""
        rate = self.learning_rate
        rate = float(rate(self.count) if callable(rate) else rate)
        for index, parameter in enumerate(self.parameters):
            if parameter.grad is not None:
                slots = [arrays[index] for arrays in self.state.values()]
                parallel.elementwise(lambda *blocks: self.update(rate, *blocks), parameter.data, parameter.grad, *slots)
        self.count += 1

    def update(self, rate, x, g, *slots):
        """Change the blocks `x` and `slots` in place; `g` is only read. All 1-D of one length."""
        raise NotImplementedError

    def zero_grad(self):
        """Forget the gradients; the next backward() starts from nothing."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self):
        """{"count": ..., "slot.index": array}: copies of all that `step` depends on besides the parameters."""
        arrays = {f"{name}.{i}": a.copy() for name, arrays in self.state.items() for i, a in enumerate(arrays)}
        return {"count": np.asarray(self.count)} | arrays

    def load_state_dict(self, state):
        """Restore what `state_dict` returned. Raises ValueError if it is another optimizer's."""
        shapes = {f"{name}.{i}": a.shape for name, arrays in self.state.items() for i, a in enumerate(arrays)}
        if {key: np.shape(value) for key, value in state.items()} != shapes | {"count": ()}:
            raise ValueError(f"{type(self).__name__}.load_state_dict: the entries or shapes are not this optimizer's")
        self.count = int(state["count"])
        for name, arrays in self.state.items():
            for index, array in enumerate(arrays):
                array[...] = state[f"{name}.{index}"]


class SGD(Optimizer):
    """Gradient descent, with heavy-ball momentum: m ← momentum·m + g, x ← x − η·m."""

    slots = ("m",)

    def __init__(self, parameters, learning_rate=1e-2, momentum=0.0):
        self.momentum = momentum
        if momentum == 0:
            self.slots = ()
        super().__init__(parameters, learning_rate)

    def update(self, rate, x, g, m=None):
        if m is not None:
            m *= self.momentum
            m += g
            g = m
        x -= rate * g


class RMSProp(Optimizer):
    """v ← decay·v + (1 − decay)·g², x ← x − η·g/√(v + ε) (Tieleman & Hinton 2012), ε inside the root."""

    slots = ("v",)

    def __init__(self, parameters, learning_rate=1e-3, decay=0.99, eps=1e-6):
        super().__init__(parameters, learning_rate)
        self.decay, self.eps = decay, eps

    def update(self, rate, x, g, v):
        v *= self.decay
        v += (1 - self.decay) * g * g
        x -= rate * g / np.sqrt(v + self.eps)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), with both bias corrections and ε outside the root."""

    slots = ("m", "v")

    def __init__(self, parameters, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        super().__init__(parameters, learning_rate)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def update(self, rate, x, g, m, v):
        t = self.count + 1
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        root = np.sqrt(v / (1 - self.beta2**t))
        root += self.eps
        x -= (rate / (1 - self.beta1**t)) * m / root


class AdaSmooth(Optimizer):
    """AdaSmooth (Lu 2022, arXiv 2204.00825, algorithm 1): RMSProp whose memory follows each coordinate's path.

        e_t = |s_t| / n_t                    effective ratio: displacement over distance travelled, in [0, 1]
        c_t = (ρ2 − ρ1)·e_t + (1 − ρ2)       (eq. 18) a straight path shortens the memory, a zigzag lengthens it
        v_t = c_t²·g_t² + (1 − c_t²)·v_{t−1} (eq. 19)
        Δx_t = −η·g_t / √(v_t + ε)

    s = Σ Δx and n = Σ |Δx| run over the steps of the current window, excluding step t itself.

    What the paper leaves open: where n = 0 (at the first step, or if the coordinate has not moved in the current
    window) the ratio is `initial_ratio`. With 1 the first step is at most 2η; with 0 it would be up to 100η, because
    v_0 = 0 and then c² = (1 − ρ2)² = 1e-4.

    Args:
        rho1, rho2: the fast and the slow decay constant, ρ1 ≤ ρ2 < 1.
        eps: ε, inside the root.
        window: steps after which the sums start anew, from the latest update alone, as at the paper's epochs;
            None: they run over all of training.
        initial_ratio: the ratio where no distance has been travelled.

    Raises:
        ValueError: a constant out of range.
    """

    slots = ("s", "n", "v")

    def __init__(self, parameters, learning_rate=1e-3, rho1=0.5, rho2=0.99, eps=1e-6, window=None, initial_ratio=1.0):
        super().__init__(parameters, learning_rate)
        _check_constants(type(self).__name__, rho1, rho2, eps, window, initial_ratio)
        self.rho1, self.rho2, self.eps, self.window, self.initial_ratio = rho1, rho2, eps, window, initial_ratio

    def average(self, g, s, n, v):
        """Bring v up to date with g; returns c², from the displacement s and the distance n."""
        ratio = np.full_like(n, self.initial_ratio)
        np.divide(np.abs(s), n, out=ratio, where=n > 0)
        ratio *= self.rho2 - self.rho1
        ratio += 1 - self.rho2
        c2 = np.square(ratio, out=ratio)
        v *= 1 - c2
        v += c2 * g * g
        return c2

    def travel(self, x, step, s, n):
        """Apply `step` to x, and record it in the sums of the next step's window."""
        x += step
        if self.window and (self.count + 1) % self.window == 0:
            s[...] = 0
            n[...] = 0
        s += step
        n += np.abs(step)

    def update(self, rate, x, g, s, n, v):
        self.average(g, s, n, v)
        self.travel(x, -rate * g / np.sqrt(v + self.eps), s, n)


class AdaSmoothDelta(AdaSmooth):
    """AdaSmoothDelta (Lu 2022, section 3.3): AdaSmooth's memory in AdaDelta's rule, steps in the units of x.

        Δx_t = −η·√(u_{t−1} + ε) / √(v_t + ε)·g_t
        u_t  = c_t²·u_{t−1} + (1 − c_t²)·Δx_t²

    The paper's formula needs u_t for Δx_t and Δx_t for u_t, and has no ε in the numerator, so that it would never
    leave zero: we use the previous average and AdaDelta's ε (Zeiler 2012).
    """

    slots = ("s", "n", "v", "u")

    def __init__(self, parameters, learning_rate=0.5, rho1=0.5, rho2=0.99, eps=1e-6, window=None, initial_ratio=1.0):
        super().__init__(parameters, learning_rate, rho1, rho2, eps, window, initial_ratio)

    def update(self, rate, x, g, s, n, v, u):
        c2 = self.average(g, s, n, v)
        step = -rate * g * np.sqrt((u + self.eps) / (v + self.eps))
        u *= c2
        u += (1 - c2) * step * step
        self.travel(x, step, s, n)


def _check_constants(name, rho1, rho2, eps, window, initial_ratio):
    if not 0 <= rho1 <= rho2 < 1:
        raise ValueError(f"{name}: needs 0 <= rho1 <= rho2 < 1, got rho1={rho1} and rho2={rho2}")
    if eps <= 0:
        raise ValueError(f"{name}: eps must be positive, got {eps}")
    if window is not None and (window < 1 or window != int(window)):
        raise ValueError(f"{name}: window must be None or a whole number of steps, at least 1, got {window}")
    if not 0 <= initial_ratio <= 1:
        raise ValueError(f"{name}: initial_ratio must lie in [0, 1], got {initial_ratio}")
