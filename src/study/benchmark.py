"""Speed: `measure` times what it is given, each implementation in a process of its own, which sleeps while another is
being timed. What is timed, and how it came out, is notebook 11."""

import importlib.util
import itertools
import multiprocessing
import re
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import cloudpickle
import pandas as pd

NUM_CLASSES = 196
COLUMNS = "task implementation image_size batch_size width precision repeat device seconds memory_mb".split()


def measure(task, implementations, image_sizes, batch_sizes=(0,), width=1.0, repeats=7, precision="float32"):
    """Time a task with every implementation at every pair of sizes, the repeats interleaved: what disturbs the machine
    strikes all alike. -> DataFrame, a row a timing; memory_mb is the process's peak less what it held after importing

    `implementations` is {name: (module, build)}; those are left out whose module is not installed. The function
    `build(image_size, batch_size, width)`, which a notebook may define, returns the step to be timed, whose attribute
    `device` says where it computes, if not on the processor. `task` and `precision` only stand in the table. Where a
    device has too little memory, the seconds are NaN. Raises RuntimeError if a process died.
    """
    rows, names = [], [name for name, each in implementations.items() if importlib.util.find_spec(each[0])]
    for sizes in itertools.product(image_sizes, batch_sizes, [width]):
        with ExitStack() as stack:  # new processes for every size, so that memory is that of this size
            workers = {name: _start(stack, *implementations[name], sizes) for name in names}
            for repeat, name in itertools.product(range(-2, repeats), names):
                try:
                    workers[name].send("run")
                    rows.append((task, name, *sizes, precision, repeat, *workers[name].recv()))
                except (EOFError, OSError):
                    raise RuntimeError(f"{task}: the process of {name!r} died; what it wrote says why") from None
        print(f"timed: {task}, {sizes[0]} px, batch {sizes[1]}, {precision}", flush=True)
    return pd.DataFrame(rows, columns=COLUMNS).query("repeat >= 0").reset_index(drop=True)  # before, it warms up


def _start(stack, module, build, sizes):
    """A pipe to a new process, which ends with `stack`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, module, cloudpickle.dumps(build), sizes))
    process.start()
    theirs.close()  # so that a worker that dies is an EOFError here, not a wait for ever
    stack.callback(process.join)
    stack.callback(ours.close)
    return ours


def _serve(pipe, module, build, sizes):
    """In the process of one implementation: build the step, then time it whenever told."""
    importlib.import_module(module)
    build, before, full = cloudpickle.loads(build), _memory("VmRSS"), False
    step = build(*sizes)
    with suppress(EOFError):  # the other end is closed, or its process gone
        while pipe.recv():
            start = time.perf_counter()
            try:
                full or step()
            except Exception as error:
                if not (full := "RESOURCE_EXHAUSTED" in str(error)):  # XLA's word for too little memory
                    raise
            seconds = float("nan") if full else time.perf_counter() - start
            pipe.send((getattr(step, "device", "cpu"), seconds, _memory("VmHWM") - before))


def _memory(field):
    """A line of this process's /proc status in MB: VmRSS, what is resident, or VmHWM, the most that ever was."""
    status = Path("/proc/self/status")
    return int(re.search(rf"{field}:\s+(\d+)", status.read_text())[1]) / 1024 if status.exists() else float("nan")


def channels(width):
    """The outputs of conv1 ... conv5 and the units of fc6 and fc7, in two groups."""
    return [2 * max(1, round(n * width / 2)) for n in (96, 256, 384, 384, 256, 4096)]


def multiply_adds(image_size, width=1.0, groups=2):
    """Multiplications of a forward and a backward pass of one image; backward takes two products for each of forward's,
    except in conv1: the image needs no gradient."""
    c1, c2, c3, c4, c5, hidden = channels(width)
    s1 = (image_size - 11) // 4 + 1
    s2, s3, last = (s1 - 1) // 2, (s1 - 3) // 4, (s1 - 7) // 8
    conv1 = s1**2 * 121 * 3 * c1
    others = s2**2 * 25 * c1 * c2 / groups + s3**2 * 9 * (c2 * c3 + c3 * c4 / groups + c4 * c5 / groups)
    return 2 * conv1 + 3 * (others + last**2 * c5 * hidden + hidden**2 + hidden * NUM_CLASSES)
