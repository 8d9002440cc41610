"""Speed of the implementations: forward and backward of AlexNet, on the same random batch.

Each implementation lives in a process of its own, which sleeps while another is being timed. The repeats are
interleaved, so that a disturbance of the machine strikes all alike.
"""

import importlib.util
import multiprocessing
import time

import numpy as np
import pandas as pd

NUM_CLASSES = 196


def numpy_step(images, labels, width):
    """A function that computes the loss and all parameter gradients with nunes."""
    import nunes.autograd.functional as F
    from nunes import Tensor
    from nunes.models import AlexNet

    model, batch = AlexNet(NUM_CLASSES, images.shape[1], width), Tensor(images)

    def step():
        model.zero_grad()
        F.cross_entropy(model(batch), labels).backward()

    return step


def jax_step(images, labels, width):
    """The same with alexjax."""
    import jax

    from alexjax import alexnet

    params = alexnet.init(jax.random.key(0), NUM_CLASSES, images.shape[1], width)
    images, labels = jax.device_put((images, labels))

    @jax.jit
    def gradients(params, images, labels, key):
        def loss_of(params):
            return alexnet.cross_entropy(alexnet.apply(params, images, dropout=0.5, key=key), labels)

        return jax.value_and_grad(loss_of)(params)

    return lambda: jax.block_until_ready(gradients(params, images, labels, jax.random.key(1)))


def channels(width):
    """The outputs of conv1 ... conv5 and the units of fc6 and fc7, in two groups."""
    return [2 * max(1, round(n * width / 2)) for n in (96, 256, 384, 384, 256, 4096)]


def pytorch_step(images, labels, width):
    """The same with PyTorch (NCHW, its own preferred layout)."""
    import torch
    from torch import nn

    c1, c2, c3, c4, c5, hidden = channels(width)
    last = (images.shape[1] - 35) // 32

    def norm():
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # it divides alpha by the size, 5

    model = nn.Sequential(
        nn.Conv2d(3, c1, 11, stride=4), nn.ReLU(), norm(), nn.MaxPool2d(3, 2),
        nn.Conv2d(c1, c2, 5, padding=2, groups=2), nn.ReLU(), norm(), nn.MaxPool2d(3, 2),
        nn.Conv2d(c2, c3, 3, padding=1), nn.ReLU(),
        nn.Conv2d(c3, c4, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(c4, c5, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Linear(c5 * last * last, hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(hidden, NUM_CLASSES),
    )  # fmt: skip
    batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    targets = torch.from_numpy(labels)

    def step():
        model.zero_grad()
        nn.functional.cross_entropy(model(batch), targets).backward()

    return step


def gemm_floor(images, labels, width):
    """The matrix products alone, as one large product of as many operations: what no implementation can do without
    (unless it saves multiplications, as Winograd's algorithm does)."""
    side = 2048
    a, b = np.ones((2, side, side), np.float32)
    full, rest = divmod(len(images) * multiply_adds(images.shape[1], width), side**3)
    rows = int(rest / side**2)

    def step():
        for _ in range(int(full)):
            a @ b
        a[:rows] @ b

    return step


def multiply_adds(image_size, width=1.0):
    """Multiplications of a forward and a backward pass of one image.

    Backward takes two products for each of forward's, except in conv1: the image needs no gradient.
    """
    c1, c2, c3, c4, c5, hidden = channels(width)
    s1 = (image_size - 11) // 4 + 1
    s2 = (s1 - 1) // 2
    s3 = (s2 - 1) // 2
    last = (s3 - 1) // 2
    conv1 = s1**2 * 121 * 3 * c1
    others = s2**2 * 25 * c1 * c2 / 2 + s3**2 * 9 * (c2 * c3 + c3 * c4 / 2 + c4 * c5 / 2)
    return 2 * conv1 + 3 * (others + last**2 * c5 * hidden + hidden**2 + hidden * NUM_CLASSES)


STEPS = {"NumPy": numpy_step, "JAX": jax_step, "PyTorch": pytorch_step, "GEMM floor": gemm_floor}


def implementations():
    """Those that can be measured here: PyTorch only if it is installed (the extra [bench])."""
    return [name for name in STEPS if name != "PyTorch" or importlib.util.find_spec("torch")]


def _serve(name, pipe):
    """In the process of one implementation: build what is asked for, then time it whenever told."""
    step = None
    while (message := pipe.recv()) is not None:
        if message == "run":
            start = time.perf_counter()
            step()
            pipe.send(time.perf_counter() - start)
        else:
            image_size, batch_size, width = message
            generator = np.random.default_rng(0)
            images = generator.standard_normal((batch_size, image_size, image_size, 3), np.float32)
            step = STEPS[name](images, generator.integers(0, NUM_CLASSES, batch_size), width)
            step()  # compiles, and warms the caches
            step()
            pipe.send("ready")


def measure(image_sizes, batch_sizes, width=1.0, repeats=7, names=None):
    """Time forward + backward of every implementation at every size.

    Args:
        image_sizes, batch_sizes: all pairs of them are measured.
        width: of AlexNet.
        repeats: how often each is timed.
        names: which implementations; all that are installed by default.

    Returns:
        A DataFrame with a row a timing: implementation, image_size, batch_size, width, repeat, seconds.
    """
    context = multiprocessing.get_context("spawn")
    workers, rows = {}, []
    for name in names or implementations():
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(name, theirs), daemon=True)
        process.start()
        theirs.close()  # so that a worker that dies is an EOFError here, not a wait for ever
        workers[name] = process, ours
    try:
        for image_size in image_sizes:
            for batch_size in batch_sizes:
                for _, pipe in workers.values():
                    pipe.send((image_size, batch_size, width))
                    pipe.recv()
                for repeat in range(repeats):
                    for name, (_, pipe) in workers.items():
                        pipe.send("run")
                        rows.append((name, image_size, batch_size, width, repeat, pipe.recv()))
                print(f"timed {image_size} px, batch {batch_size}", flush=True)
    finally:
        for process, pipe in workers.values():
            if process.is_alive():
                pipe.send(None)
                process.join()
    return pd.DataFrame(rows, columns=["implementation", "image_size", "batch_size", "width", "repeat", "seconds"])
