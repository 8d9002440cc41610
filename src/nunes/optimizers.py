"""Optimizers, in the order of what they remember: nothing, one average, two, the path.

Each is an element-wise recurrence over the parameter x, its gradient g and the arrays kept beside it (`slots`),
written once in `change` for any block of elements: it brings the slots up to date and returns Δx. `step` spreads the
blocks over the threads; in each, all is computed in place, in the cache, in as few passes as NumPy allows.
"""

import numpy as np

from nunes import parallel

# What constants may be: at least the first number, less than the second. Below 1e-37, float32 has none but 0.
RANGES = {"learning_rate": (0, np.inf), "weight_decay": (0, np.inf), "eps": (1e-37, np.inf)}
RANGES |= dict.fromkeys(("momentum", "decay", "rho", "rho1", "rho2", "beta1", "beta2"), (0, 1))


def move_average(average, keep, take, g, part):
    """average ← keep·average + take·g²; `keep` may lie in `part`."""
    average *= keep
    average += np.multiply(np.square(g, out=part), take, out=part)


def normalise(g, average, eps, rate, out, part):
    """out ← −rate·g / √(average + ε)"""
    np.add(average, eps, out=part)
    np.divide(g, np.sqrt(part, out=part), out=out)
    return np.multiply(out, -rate, out=out)


def normalise_in_units(g, average, squares, eps, out, part):
    """out ← g·√(squares + ε) / √(average + ε): the units of x, of whose changes `squares` is an average."""
    np.add(squares, eps, out=out)
    out /= np.add(average, eps, out=part)
    np.sqrt(out, out=out)
    out *= g


class Optimizer:
    """Base of all optimizers.

    Args:
        parameters: the tensors to be changed, e.g. `model.parameters()`. One without a gradient is left alone.
        learning_rate: a number, or a function of the step (0, 1, ...) that returns one.

    Raises:
        ValueError: there are no parameters, one cannot be changed in place, or a constant is out of range.
    """

    slots = ()  # names of the arrays kept beside each parameter, all zero at first

    def __init__(self, parameters, learning_rate, **constants):
        self.parameters, self.learning_rate = list(dict.fromkeys(parameters)), learning_rate  # each parameter once
        self.count, self.state = 0, {}  # steps taken; {"slot.index": array}
        vars(self).update(constants)  # of the recurrence: self.eps, ...
        for name, (low, high) in RANGES.items():
            value = vars(self).get(name, low)
            self.require(callable(value) or low <= value < high, f"{name} must lie in [{low}, {high}), got {value}")
        self.require(self.parameters, "there are no parameters to optimize")
        must = "must require a gradient and own a contiguous, writeable array, as nn.Parameter does"
        for i, parameter in enumerate(self.parameters):
            usable = parameter.requires_grad and not parameter.node and parameter.data.flags.carray
            self.require(usable, f"parameter {i} of shape {parameter.shape} {must}")
            dtype = np.result_type(parameter.dtype, np.float32)
            self.state |= {f"{name}.{i}": np.zeros(parameter.shape, dtype) for name in self.slots}

    def require(self, condition, message):
        if not condition:
            raise ValueError(f"{type(self).__name__}: {message}")

    def step(self):
        """Change every parameter that has a gradient, in place."""
        rate = float(self.learning_rate(self.count) if callable(self.learning_rate) else self.learning_rate)
        self.require(0 <= rate < np.inf, f"learning_rate must lie in [0, inf), got {rate} at step {self.count}")
        blocks = []
        for i, parameter in enumerate(self.parameters):
            x, g = parameter.data, parameter.grad
            if g is not None:
                self.require(g.shape == x.shape, f"parameter {i} has shape {x.shape}, its gradient {g.shape}")
                wide = [np.asarray(array, np.result_type(x.dtype, np.float32)) for array in (x, g)]  # if it was float16
                flat = [array.reshape(-1) for array in (x, *wide, *(self.state[f"{name}.{i}"] for name in self.slots))]
                blocks += [[array[piece] for array in flat] for piece in parallel.slices(x.size, parallel.BLOCK)]
                parameter.version += 1
        parallel.run(lambda block: np.add(block[1], self.change(rate, *block[1:]), out=block[0]), blocks)
        self.count += 1

    def change(self, rate, x, g, *slots):
        """Bring the blocks `slots` up to date in place and return Δx; `g` is only read. All 1-D of one length."""
        raise NotImplementedError

    def zero_grad(self):
        """Forget the gradients; the next backward() starts from nothing."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self):
        """{"count": ..., "slot.index": array}: copies of all that `step` depends on besides the parameters."""
        return {"count": np.asarray(self.count)} | {name: array.copy() for name, array in self.state.items()}

    def load_state_dict(self, state):
        """Restore what `state_dict` returned. Raises ValueError if it is another optimizer's."""
        theirs, ours = ({name: np.shape(each) for name, each in arrays.items()} for arrays in (state, self.state))
        self.require(theirs == ours | {"count": ()}, "load_state_dict: the entries or shapes are not this optimizer's")
        arrays = {name: np.array(state[name], array.dtype, order="C") for name, array in self.state.items()}
        self.count, self.state = int(state["count"]), arrays


class SGD(Optimizer):
    """Gradient descent with heavy-ball momentum: m ← momentum·m + g, x ← x − η·m.

    With `nesterov`, x ← x − η·(g + momentum·m) (Sutskever et al. 2013); with `weight_decay`, g is the gradient of
    the loss + ½·weight_decay·|x|².
    """

    def __init__(self, parameters, learning_rate=1e-2, momentum=0.0, nesterov=False, weight_decay=0.0):
        self.require(momentum or not nesterov, "nesterov needs a momentum")
        self.slots = ("m",) if momentum else ()
        super().__init__(parameters, learning_rate, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    def change(self, rate, x, g, m=None):
        step, decayed = parallel.temporaries(x)
        if self.weight_decay:
            g = np.add(g, np.multiply(x, self.weight_decay, out=decayed), out=decayed)
        if m is not None:
            m *= self.momentum
            m += g
            g = np.add(g, np.multiply(m, self.momentum, out=step), out=step) if self.nesterov else m
        return np.multiply(g, -rate, out=step)


class AdaGrad(Optimizer):
    """G ← G + g², x ← x − η·g/√(G + ε) (Duchi, Hazan, Singer 2011)."""

    slots = ("total",)

    def __init__(self, parameters, learning_rate=1e-2, eps=1e-10):
        super().__init__(parameters, learning_rate, eps=eps)

    def change(self, rate, x, g, total):
        step, part = parallel.temporaries(x)
        total += np.square(g, out=part)
        return normalise(g, total, self.eps, rate, step, part)


class RMSProp(Optimizer):
    """v ← decay·v + (1 − decay)·g², x ← x − η·g/√(v + ε) (Tieleman & Hinton 2012), ε inside the root."""

    slots = ("v",)

    def __init__(self, parameters, learning_rate=1e-3, decay=0.99, eps=1e-6):
        super().__init__(parameters, learning_rate, decay=decay, eps=eps)

    def change(self, rate, x, g, v):
        step, part = parallel.temporaries(x)
        move_average(v, self.decay, 1 - self.decay, g, part)
        return normalise(g, v, self.eps, rate, step, part)


class AdaDelta(Optimizer):
    """RMSProp with steps in the units of x: Δx = −η·g·√(u + ε)/√(v + ε), u the average of Δx² (Zeiler 2012)."""

    slots = ("v", "u")

    def __init__(self, parameters, learning_rate=1.0, rho=0.9, eps=1e-6):
        super().__init__(parameters, learning_rate, rho=rho, eps=eps)

    def change(self, rate, x, g, v, u):
        step, part = parallel.temporaries(x)
        move_average(v, self.rho, 1 - self.rho, g, part)
        normalise_in_units(g, v, u, self.eps, step, part)
        move_average(u, self.rho, 1 - self.rho, step, part)
        return np.multiply(step, -rate, out=step)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1), with both bias corrections and ε outside the root.

        m ← β1·m + (1 − β1)·g      v ← β2·v + (1 − β2)·g²      x ← x − η·m̂ / (√v̂ + ε)

    with m̂ = m / (1 − β1^t) and v̂ = v / (1 − β2^t). To save passes over the memory, the slots hold m / (1 − β1) and
    v / (1 − β2), and constant factors are gathered. `weight_decay` is decoupled, as in AdamW.
    """

    slots = ("m", "v")

    def __init__(self, parameters, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
        super().__init__(parameters, learning_rate, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)

    def change(self, rate, x, g, m, v):
        (part,) = parallel.temporaries(x, 1)
        t = self.count + 1
        m_factor = (1 - self.beta1) / (1 - self.beta1**t)
        v_factor = ((1 - self.beta2) / (1 - self.beta2**t)) ** 0.5
        m *= self.beta1
        m += g
        v *= self.beta2
        v += np.square(g, out=part)
        np.sqrt(v, out=part)
        part += self.eps / v_factor
        np.divide(m, part, out=part)
        part *= -rate * m_factor / v_factor
        if self.weight_decay:
            x *= 1 - rate * self.weight_decay
        return part


class AdamW(Adam):
    """Adam with decoupled weight decay: besides, x ← x − η·weight_decay·x (Loshchilov & Hutter 2019)."""

    def __init__(self, parameters, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2):
        super().__init__(parameters, learning_rate, beta1, beta2, eps, weight_decay)


class AdaSmooth(Optimizer):
    """AdaSmooth (Lu 2022, arXiv 2204.00825, algorithm 1): RMSProp whose memory follows each coordinate's path.

        e_t = |s_t| / n_t                    effective ratio: displacement over distance travelled, in [0, 1]
        c_t = (ρ2 − ρ1)·e_t + (1 − ρ2)       (eq. 18) a straight path shortens the memory, a zigzag lengthens it
        v_t = c_t²·g_t² + (1 − c_t²)·v_{t−1} (eq. 19)
        Δx_t = −η·g_t / √(v_t + ε)

    s = Σ Δx and n = Σ |Δx| run over the steps of the current window, excluding step t itself. Where n = 0 (the paper
    does not say) the ratio is `initial_ratio`: with 1 the first step is at most 2η, with 0 it would be up to 100η, for
    v_0 = 0 and then c² = (1 − ρ2)² = 1e-4. Nothing has to be told apart for it: the sums start with a first step of
    `initial_ratio`·TINY and a length of TINY, which any true step drowns.

    Args:
        rho1, rho2: the fast and the slow decay constant, ρ1 ≤ ρ2 < 1.
        window: steps after which the sums start anew, from the latest update alone, as at the paper's epochs, or None.
        initial_ratio: the ratio where no distance has been travelled, from 0 to 1.
        beta1: above 0 the numerator is Adam's m̂_t, not the paper's g_t: only the denominator differs from Adam's.
    """

    slots = ("s", "n", "v")
    TINY = 1e-30

    def __init__(
        self, parameters, learning_rate=1e-3, rho1=0.5, rho2=0.99, eps=1e-6, window=None, initial_ratio=1.0, beta1=0.0
    ):
        self.slots = (*self.slots, "m") if beta1 else self.slots
        constants = {"rho1": rho1, "rho2": rho2, "eps": eps, "window": window, "initial_ratio": initial_ratio}
        super().__init__(parameters, learning_rate, beta1=beta1, **constants)
        self.require(rho1 <= rho2, f"needs rho1 <= rho2, got {rho1=} and {rho2=}")
        whole = window is None or (window >= 1 and window % 1 == 0)
        self.require(whole, f"window must be None or a whole number of steps, at least 1, got {window}")
        self.require(0 <= initial_ratio <= 1, f"initial_ratio must lie in [0, 1], got {initial_ratio}")
        for i in range(len(self.parameters)):
            self.start_window(self.state[f"s.{i}"], self.state[f"n.{i}"])

    def start_window(self, s, n):
        s[...], n[...] = self.initial_ratio * self.TINY, self.TINY

    def average(self, g, s, n, v, c2, part):
        """Bring v up to date with g; leaves c² in `c2`, and uses `part`."""
        np.divide(s, n, out=c2)
        np.abs(c2, out=c2)
        c2 *= self.rho2 - self.rho1
        c2 += 1 - self.rho2
        c2 *= c2
        move_average(v, np.subtract(1, c2, out=part), c2, g, part)

    def travel(self, step, s, n, part):
        """Record `step` in the sums of the next step's window; returns it, and uses `part`."""
        if self.window and (self.count + 1) % self.window == 0:
            self.start_window(s, n)
        s += step
        n += np.abs(step, out=part)
        return step

    def change(self, rate, x, g, s, n, v, m=None):
        step, part = parallel.temporaries(x)
        self.average(g, s, n, v, step, part)
        if m is not None:  # as in Adam, it holds the average / (1 − β1)
            m *= self.beta1
            m += g
            g, rate = m, rate * (1 - self.beta1) / (1 - self.beta1 ** (self.count + 1))
        return self.travel(normalise(g, v, self.eps, rate, step, part), s, n, part)


class AdaSmoothDelta(AdaSmooth):
    """AdaSmoothDelta (Lu 2022, section 3.3): AdaSmooth's memory in AdaDelta's rule, steps in the units of x.

        Δx_t = −η·√(u_{t−1} + ε) / √(v_t + ε)·g_t
        u_t  = c_t²·u_{t−1} + (1 − c_t²)·Δx_t²

    The paper's formula is circular, and without an ε in the numerator would never leave zero: we use the previous
    average and AdaDelta's ε (Zeiler 2012)."""

    slots = ("s", "n", "v", "u")

    def __init__(self, parameters, learning_rate=0.5, rho1=0.5, rho2=0.99, eps=1e-6, window=None, initial_ratio=1.0):
        super().__init__(parameters, learning_rate, rho1, rho2, eps, window, initial_ratio)

    def change(self, rate, x, g, s, n, v, u):
        step, part, c2, complement = parallel.temporaries(x, 4)
        self.average(g, s, n, v, c2, part)
        normalise_in_units(g, v, u, self.eps, step, part)
        step *= -rate
        move_average(u, c2, np.subtract(1, c2, out=complement), step, part)
        return self.travel(step, s, n, part)
