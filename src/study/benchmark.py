"""Speed of the implementations: AlexNet's forward and backward pass, and the optimizers' steps, beside their floors.

Each implementation lives in a process of its own, which sleeps while another is being timed. The repeats are
interleaved, so that a disturbance of the machine strikes all alike; ratios hold within one run.
"""

import functools
import importlib
import importlib.util
import itertools
import multiprocessing
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd

NUM_CLASSES = 196
FORMS = {"AlexNet (2012)": (2, True), "single tower": (1, False)}  # groups, local response normalisation
PASSES = {"Adam step": 7, "AdaSmooth step": 9}  # arrays that it reads or writes, at the least


# Forward and backward: (images, labels, width, groups, norm) -> a function that takes a step ------------------------


def numpy_step(images, labels, width, groups, norm, threads=None):
    """A function that computes the loss and all parameter gradients with nunes."""
    import nunes.autograd.functional as F
    from nunes import Tensor, parallel
    from nunes.models import AlexNet

    parallel.set_num_threads(threads or parallel.num_threads())
    model, batch = AlexNet(NUM_CLASSES, images.shape[1], width, groups, norm), Tensor(images)

    def step():
        model.zero_grad()
        F.cross_entropy(model(batch), labels).backward()

    return step


def jax_step(images, labels, width, groups, norm):
    """The same with alexjax."""
    import jax

    from alexjax import alexnet

    params = alexnet.init(jax.random.key(0), NUM_CLASSES, images.shape[1], width, groups)
    images, labels = jax.device_put((images, labels))
    apply = functools.partial(alexnet.apply, groups=groups, local_response_norm=norm, dropout=0.5)

    @jax.jit
    def gradients(params, images, labels, key):
        def loss_of(params):
            return alexnet.cross_entropy(apply(params, images, key=key), labels)

        return jax.value_and_grad(loss_of)(params)

    return lambda: jax.block_until_ready(gradients(params, images, labels, jax.random.key(1)))


def channels(width):
    """The outputs of conv1 ... conv5 and the units of fc6 and fc7, in two groups."""
    return [2 * max(1, round(n * width / 2)) for n in (96, 256, 384, 384, 256, 4096)]


def pytorch_model(image_size, width, groups, norm):
    from torch import nn

    c1, c2, c3, c4, c5, hidden = channels(width)
    last = (image_size - 35) // 32

    def normed():  # PyTorch divides alpha by the size, 5
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0) if norm else nn.Identity()

    return nn.Sequential(
        nn.Conv2d(3, c1, 11, stride=4), nn.ReLU(), normed(), nn.MaxPool2d(3, 2),
        nn.Conv2d(c1, c2, 5, padding=2, groups=groups), nn.ReLU(), normed(), nn.MaxPool2d(3, 2),
        nn.Conv2d(c2, c3, 3, padding=1), nn.ReLU(),
        nn.Conv2d(c3, c4, 3, padding=1, groups=groups), nn.ReLU(),
        nn.Conv2d(c4, c5, 3, padding=1, groups=groups), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Linear(c5 * last * last, hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, NUM_CLASSES),
    )  # fmt: skip


def pytorch_step(images, labels, width, groups, norm):
    """The same with PyTorch (NCHW, its own preferred layout)."""
    import torch

    model = pytorch_model(images.shape[1], width, groups, norm)
    batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    targets = torch.from_numpy(labels)

    def step():
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(batch), targets).backward()

    return step


def input_pipeline(images, labels, width, groups, norm):
    """Draw the next batch, crop, flip and normalise it: what happens between two steps of training."""
    from study import data

    count, size, *_ = images.shape
    stored = np.random.default_rng(0).integers(0, 256, (8 * count, *[data.stored_size(size)] * 2, 3), np.uint8)
    split, (mean, std) = data.Split(stored, np.arange(len(stored))), data.normalisation(stored)
    batches = (batch for epoch in itertools.count() for batch in data.batches(split, size, count, 0, epoch))
    return lambda: (next(batches)[0] - mean) / std


def gemm_floor(images, labels, width, groups, norm):
    """The matrix products alone, as one large product of as many operations: what no implementation can do without
    (unless it saves multiplications, as Winograd's algorithm does)."""
    side = 2048
    a, b = np.ones((2, side, side), np.float32)
    full, rest = divmod(len(images) * multiply_adds(images.shape[1], width, groups), side**3)
    rows = int(rest / side**2)

    def step():
        for _ in range(int(full)):
            a @ b
        a[:rows] @ b

    return step


def multiply_adds(image_size, width=1.0, groups=2):
    """Multiplications of a forward and a backward pass of one image.

    Backward takes two products for each of forward's, except in conv1: the image needs no gradient.
    """
    c1, c2, c3, c4, c5, hidden = channels(width)
    s1 = (image_size - 11) // 4 + 1
    s2 = (s1 - 1) // 2
    s3 = (s2 - 1) // 2
    last = (s3 - 1) // 2
    conv1 = s1**2 * 121 * 3 * c1
    others = s2**2 * 25 * c1 * c2 / groups + s3**2 * 9 * (c2 * c3 + c3 * c4 / groups + c4 * c5 / groups)
    return 2 * conv1 + 3 * (others + last**2 * c5 * hidden + hidden**2 + hidden * NUM_CLASSES)


# Optimizers: (task, image_size, width) -> a function that takes a step of all of AlexNet's parameters -----------------


def numpy_update(task, image_size, width):
    from nunes import optimizers
    from nunes.models import AlexNet

    parameters = AlexNet(NUM_CLASSES, image_size, width).parameters()
    generator = np.random.default_rng(0)
    for parameter in parameters:
        parameter.grad = generator.standard_normal(parameter.shape, np.float32)
    return getattr(optimizers, task.split()[0])(parameters).step


def jax_update(task, image_size, width):
    import jax
    import optax

    import alexjax
    from alexjax import alexnet

    optimizer = {"Adam step": optax.adam, "AdaSmooth step": alexjax.adasmooth}[task](1e-3)
    params = alexnet.init(jax.random.key(0), NUM_CLASSES, image_size, width)
    gradients = jax.tree.map(lambda p: jax.random.normal(jax.random.key(1), p.shape), params)
    held = [params, optimizer.init(params)]

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def update(params, state):
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    def step():
        held[:] = jax.block_until_ready(update(*held))

    return step


def pytorch_update(task, image_size, width):
    import torch

    parameters = [*pytorch_model(image_size, width, 2, True).parameters()]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    return torch.optim.Adam(parameters, fused=True).step


def memory_floor(task, image_size, width):
    """a += b on arrays that together hold as many elements as the optimizer reads and writes: it moves three arrays."""
    from nunes import parallel
    from nunes.models import AlexNet

    count = sum(p.size for p in AlexNet(NUM_CLASSES, image_size, width).parameters()) * PASSES[task] // 3
    a, b = np.ones((2, count), np.float32)
    pieces = parallel.slices(count, -(-count // parallel.num_threads()))
    return lambda: parallel.run(lambda piece: np.add(a[piece], b[piece], out=a[piece]), pieces)


# name: (needs, forward and backward, update)
IMPLEMENTATIONS = {
    "NumPy": ("nunes.models", numpy_step, numpy_update),
    "NumPy, 1 thread": ("nunes.models", functools.partial(numpy_step, threads=1), None),
    "JAX": ("alexjax", jax_step, jax_update),
    "PyTorch": ("torch", pytorch_step, pytorch_update),
    "GEMM floor": ("numpy", gemm_floor, None),
    "input pipeline": ("study.data", input_pipeline, None),
    "memory floor": ("nunes.models", None, memory_floor),
}


def implementations(task):
    """Those of a task that can be measured here: PyTorch only if it is installed (the extra [bench]), and no AdaSmooth
    of PyTorch's."""
    names = []
    for name, (module, step, update) in IMPLEMENTATIONS.items():
        able = step if task in FORMS else update
        if able and importlib.util.find_spec(module.split(".")[0]) and (name, task) != ("PyTorch", "AdaSmooth step"):
            names.append(name)
    return names


def memory(field):
    """A line of this process's /proc status in MB: VmRSS, what is resident, or VmHWM, the most that ever was."""
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux
        return float("nan")
    return int(re.search(rf"{field}:\s+(\d+) kB", status.read_text())[1]) / 1024


def _serve(name, task, image_size, batch_size, width, pipe):
    """In the process of one implementation: build the task, then time it whenever told."""
    module, step_of, update_of = IMPLEMENTATIONS[name]
    importlib.import_module(module)
    before = memory("VmRSS")
    if task in FORMS:
        generator = np.random.default_rng(0)
        images = generator.standard_normal((batch_size, image_size, image_size, 3), np.float32)
        step = step_of(images, generator.integers(0, NUM_CLASSES, batch_size), width, *FORMS[task])
    else:
        step = update_of(task, image_size, width)
    step()  # compiles, and warms the caches
    step()
    pipe.send("ready")
    while pipe.recv() == "run":
        start = time.perf_counter()
        step()
        pipe.send((time.perf_counter() - start, memory("VmHWM") - before))


def measure(image_sizes, batch_sizes, width=1.0, repeats=7, task="AlexNet (2012)", names=None):
    """Time a task with every implementation at every size.

    Args:
        image_sizes, batch_sizes: all pairs of them are measured. An optimizer's step knows no batch; give [0].
        width: of AlexNet.
        repeats: how often each is timed.
        task: "AlexNet (2012)" or "single tower", its form without groups and LRN: forward and backward;
            "Adam step" or "AdaSmooth step".
        names: which implementations; all that can be measured here but "NumPy, 1 thread", by default.

    Returns:
        A DataFrame with a row a timing: task, implementation, image_size, batch_size, width, repeat, seconds, and
        memory_mb, the most memory that the process ever held, less what it held before building the network.
    """
    context = multiprocessing.get_context("spawn")
    names = names or [name for name in implementations(task) if name != "NumPy, 1 thread"]
    rows = []
    for image_size, batch_size in itertools.product(image_sizes, batch_sizes):
        workers = {}
        for name in names:  # new processes for every size, so that memory is that of this size
            ours, theirs = context.Pipe()
            arguments = (name, task, image_size, batch_size, width, theirs)
            workers[name] = context.Process(target=_serve, args=arguments, daemon=True), ours
            workers[name][0].start()
            theirs.close()  # so that a worker that dies is an EOFError here, not a wait for ever
            ours.recv()
        try:
            for repeat in range(repeats):
                for name, (_, pipe) in workers.items():
                    pipe.send("run")
                    rows.append((task, name, image_size, batch_size, width, repeat, *pipe.recv()))
        finally:
            for process, pipe in workers.values():
                if process.is_alive():
                    pipe.send("stop")
                    process.join()
        print(f"timed {task}, {image_size} px{f', batch {batch_size}' if batch_size else ''}", flush=True)
    sizes = ["image_size", "batch_size", "width", "repeat"]
    return pd.DataFrame(rows, columns=["task", "implementation", *sizes, "seconds", "memory_mb"])


def targets(table):
    """The declared targets beside what a table of `measure` shows, at the largest image size and batch 32.

    Returns:
        A DataFrame: target, measured, allowed, reached; a row for each target whose measurements are in the table.
    """
    table = table[(table.image_size == table.image_size.max()) & table.batch_size.isin([0, 32])]
    by = ["task", "implementation"]
    seconds, memory_mb = table.groupby(by).seconds.median(), table.groupby(by).memory_mb.max()
    old, single = FORMS
    ratios = [  # (what, numerator, denominator, at most), of seconds
        ("AlexNet (2012), NumPy / PyTorch", (old, "NumPy"), (old, "PyTorch"), 0.75),
        ("single tower, NumPy / PyTorch", (single, "NumPy"), (single, "PyTorch"), 1.0),
        ("AlexNet (2012), NumPy / GEMM floor", (old, "NumPy"), (old, "GEMM floor"), 1.6),
        ("AdaSmooth, NumPy / memory floor", ("AdaSmooth step", "NumPy"), ("AdaSmooth step", "memory floor"), 2.0),
        ("Adam, NumPy / PyTorch (fused)", ("Adam step", "NumPy"), ("Adam step", "PyTorch"), 1.3),
        ("AlexNet (2012), JAX / PyTorch", (old, "JAX"), (old, "PyTorch"), 1.0),
        ("AdaSmooth, JAX / memory floor", ("AdaSmooth step", "JAX"), ("AdaSmooth step", "memory floor"), 1.5),
    ]
    rows = [(what, seconds[a] / seconds[b], f"≤ {most}") for what, a, b, most in ratios if {a, b} <= set(seconds.index)]
    if {(old, "NumPy"), (old, "PyTorch")} <= set(seconds.index):
        rows.append(("peak memory, NumPy / PyTorch", memory_mb[old, "NumPy"] / memory_mb[old, "PyTorch"], "≤ 1.0"))
    if (old, "input pipeline") in seconds.index:
        fastest = min(seconds[old, name] for name in ("NumPy", "JAX", "PyTorch") if (old, name) in seconds.index)
        rows.append(("input pipeline / fastest training", fastest / seconds[old, "input pipeline"], "≥ 5"))
    if ("threads", "NumPy") in seconds.index:
        speed_up = seconds["threads", "NumPy, 1 thread"] / seconds["threads", "NumPy"]
        rows.append(("NumPy, 1 thread / all cores", speed_up, "≥ 1.7"))
    result = pd.DataFrame(rows, columns=["ratio", "measured", "target"])
    bound = result.target.str[2:].astype(float)
    reached = np.where(result.target.str.startswith("≤"), result.measured <= bound, result.measured >= bound)
    result["reached"] = np.where(reached, "yes", "no")
    return result
