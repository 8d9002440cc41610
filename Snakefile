# The study as a graph of files: dataset -> runs -> notebooks with their figures and facts -> report. `make report` calls
# it; by hand: snakemake --cores all --config profile=full data_dir=path/to/stanford_cars
# A finished run (Profile.is_finished) is a given file here, and no job: it is never trained again by accident.

import contextlib
import fcntl
import json
import os
import platform
import re
import shlex
import shutil
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import psutil

from study.config import check, project_path
from study.profiles import load_profile

sys.path.insert(0, "workflow")
from page import assemble, export_html

# Through the environment a path comes as it is; what --config says is read as YAML first.
PHOTOGRAPHS = config.get("data_dir") or os.environ.get("STUDY_DATA_DIR", "")
# What is published is put together without photographs too (`make published`): then nothing is planned that needs them.
NAME = config.get("profile") or os.environ.get("STUDY_PROFILE", "quick")
PROFILE = load_profile(NAME, PHOTOGRAPHS or ("data" if config.get("publish") else ""))
FULL = PROFILE.published  # run files are tracked
BUILD, RESULTS, FIGURES = PROFILE.folders
FIGURES = f"{BUILD}/figures" if FULL else FIGURES  # the rule `published` alone writes to figures/
CARS, MNIST, FACTS = f"{RESULTS}/{PROFILE.dataset if PROFILE.datasets else 'mnist'}", f"{RESULTS}/mnist", f"{BUILD}/facts"
STUDY = f"{shlex.quote(sys.executable)} -m study"
SAYS = """awk '{print says "  " $0; fflush()}' says="""  # each line of a job's output begins with who speaks
RUNS = [f"{RESULTS}/{run}.json" for run in PROFILE.runs]
GROUPS = {run.split("/")[1] for run in PROFILE.runs}
DATASET = f"{BUILD}/dataset-{PROFILE.dataset}.json"
SOURCES = [str(path) for path in Path("src").rglob("*.py")]
# The C library keeps its memory instead of giving it back after every step: a third of XLA's time at these sizes.
ONE_CORE = "NPROC=1 NUNES_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296"

# The chapters of the report: notebook: (what it reads, its figures, its parameters). Those whose runs a profile does not
# have are left out.
STORY = {"results_dir": CARS}
OWN_DATA = {"dataset": PROFILE.dataset, "data_dir": PROFILE.data_dir}
FIRST = dict(zip(("label", "image_size"), next(iter(PROFILE.datasets), ())))
TIMINGS = f"{CARS}/speed.csv"
SPEED = {"read": TIMINGS} if FULL and project_path(TIMINGS).exists() else {"timings": TIMINGS} | PROFILE.speed
CHAPTERS = {
    "01_data": (
        [DATASET],
        ["images", "splits", "classes", "sizes", "duplicates", "augmentation", "rendered_cars"],
        OWN_DATA | FIRST,
    ),
    "02_nunes": ([], ["spirals"], {}),
    "03_adasmooth": (
        [DATASET],
        [f"adasmooth_{name}" for name in ("coordinate", "momentum", "first_step", "ratio", "paths", "frozen")],
        OWN_DATA,
    ),
    "04_mnist": (
        [],
        [f"mnist_{name}" for name in ("digits", "learning", "mistakes", "confusion")],
        {"printed": not FULL},  # without MNIST it stops, and does not take other digits
    ),
    "06_convergence": (
        RUNS,
        ["convergence", "differences", "reached", "confusion"]
        + (["convergence_constant", "tuning", "implementations"] if FULL else []),
        STORY,
    ),
    "07_sensitivity": (RUNS, ["surface"], STORY),
    "08_mechanism": (RUNS, ["ablation", "ratios", "floor"], STORY),
    "09_tables": (RUNS, ["tables"], {"results_dir": MNIST}),
    "10_models": (
        RUNS,
        ["budget", "filters", "makes", "models"] + (["guesses"] if PHOTOGRAPHS else []),
        STORY | {"data_dir": PROFILE.data_dir if PHOTOGRAPHS else ""},
    ),
    "11_speed": ([], ["speed"], SPEED),
}
NEEDS = {"07_sensitivity": "surface", "08_mechanism": "ablation", "09_tables": "mlp", "10_models": "models"}
CHAPTERS = {
    name: chapter
    for name, chapter in CHAPTERS.items()
    if (name != "04_mnist" or FULL)
    and (NEEDS.get(name, "comparison") in GROUPS or not FULL and name in ("01_data", "06_convergence"))
    and (name != "01_data" or PROFILE.datasets)
}
MANY_CORES = {"03_adasmooth", "04_mnist", "11_speed"}
TITLE, FRAME = "AdaSmooth and AlexNet, from scratch and measured", "notebooks/12_report.ipynb"


include: "workflow/published.smk"


def parameters(values):
    return " ".join(f"-p {name} {shlex.quote(str(value))}" for name, value in values.items())


def chapter_parameters(wildcards, values):
    return parameters(values | {"figures_dir": FIGURES})


# What the terminal calls a run: adasmooth/jax seed 0; where several would be called so, what distinguishes it too.
TITLES = {name: f"{run.optimizer}/{run.backend} seed {run.seed}" for name, run in PROFILE.runs.items()}
OFTEN = Counter(TITLES.values())
TITLES = {name: each if OFTEN[each] == 1 else f"{each} ({name.partition('/')[2]})" for name, each in TITLES.items()}


def end_with(report):
    """When the process `report` has ended, however it did, or the `make` above it, nothing goes on unseen: this process
    becomes another, which kills the jobs."""
    with contextlib.suppress(psutil.NoSuchProcess, AttributeError):
        watched = [psutil.Process(report)]
        watched += [watched[0].parent()] if "MAKELEVEL" in os.environ else []
        while all(each.status() != psutil.STATUS_ZOMBIE for each in watched):
            time.sleep(0.5)
    jobs = "psutil.Process().children(recursive=True)"
    os.execv(sys.executable, [sys.executable, "-c", f"import psutil; [each.kill() for each in {jobs}]; exit(1)"])


if workflow.is_main_process and not {"-n", "--dry-run", "--dryrun"} & set(sys.argv):
    # One at a time in a folder. The system frees this lock however its holder ends; Snakemake's own would stay behind.
    Path("build").mkdir(exist_ok=True)
    lock = open("build/.lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("build/.lock is held: Snakemake is at work in this folder", file=sys.stderr, flush=True)
        os._exit(3)
    shutil.rmtree(".snakemake/locks", ignore_errors=True)
    host, _, process = os.environ.get("STUDY_REPORT", "").rpartition(":")
    if host == platform.node():
        threading.Thread(target=end_with, args=[int(process)], daemon=True).start()


onstart:
    print(f"profile {PROFILE.name}: {len(RUNS)} runs and {len(CHAPTERS)} chapters, as far as they are not there", flush=True)


onerror:
    text = "".join(Path(each).read_text() for each in ([log] if isinstance(log, str) else log))
    for each in dict.fromkeys(re.findall(r"log: (.+?) \(check log file", text)):
        print(f"\nfailed: {Path(each).relative_to(f'{BUILD}/logs').with_suffix('')}; the end of {each}:")
        print("\n".join(f"    {line}" for line in Path(each).read_text(errors="replace").splitlines()[-5:]), flush=True)


rule all:
    default_target: True
    input:
        [f"{BUILD}/report.html"] if CHAPTERS else RUNS,


rule runs:
    input:
        RUNS,


rule dataset:
    output:
        DATASET,
    run:
        from study.data import load_dataset

        found = {}
        for label, size in PROFILE.datasets:
            cars = load_dataset(PROFILE.dataset, PROFILE.data_dir, label, size)
            found[f"{label}, {size} px"] = {"counts": cars.counts, "source": cars.source, "digest": cars.digest}
            print(f"{cars.name}, {size} px: {cars.counts} images ({cars.source})", flush=True)
        with open(output[0], "w") as file:
            json.dump(found, file, indent=1)


rule train:
    input:
        ancient(DATASET),
        [] if FULL else SOURCES,
    output:
        f"{RESULTS}/{{run}}.json",
        f"{RESULTS}/{{run}}.csv",
    params:
        notebook=f"{BUILD}/notebooks/runs/{{run}}.ipynb",
        checkpoint=f"{BUILD}/checkpoints/{{run}}.npz",
        title=lambda wildcards: shlex.quote(TITLES[wildcards.run]),
        parameters=lambda wildcards: parameters(
            PROFILE.runs[wildcards.run].model_dump()
            | {"arm": PROFILE.arms[wildcards.run], "result": f"{RESULTS}/{wildcards.run}"}
        ),
    wildcard_constraints:
        run="|".join(re.escape(run) for run in PROFILE.runs if not FULL or not PROFILE.is_finished(run)) or "(?!)",
    log:
        f"{BUILD}/logs/{{run}}.log",
    shell:  # One core a run, as many runs as cores: more is done in the hour than with all cores on one run after another.
        "{ONE_CORE} {STUDY} notebook notebooks/05_train.ipynb {params.notebook} {params.parameters}"
        " -p checkpoint {params.checkpoint} 2> {log} | {SAYS}{params.title} && rm -f {params.checkpoint}"


for chapter, (needed, figures, values) in CHAPTERS.items():

    rule:
        name:
            chapter
        input:
            needed,
            SOURCES,
            notebook=f"notebooks/{chapter}.ipynb",
        output:
            f"{BUILD}/notebooks/{chapter}.ipynb",
            [f"{FIGURES}/{name}.png" for name in figures],
            [] if chapter == "02_nunes" else f"{FACTS}/{chapter}.csv",
        params:  # a function: what it returns is taken as it is, braces and all
            partial(chapter_parameters, values=values | ({} if chapter == "02_nunes" else {"facts_dir": FACTS})),
        log:
            f"{BUILD}/logs/{chapter}.log",
        threads: workflow.cores if chapter in MANY_CORES else 1
        shell:
            "{STUDY} notebook {input.notebook} {output[0]} {params} 2> {log} | {SAYS}{rule}"


rule report:
    input:
        chapters=EXECUTED.values(),
        frame=FRAME,
        sources=SOURCES,
    output:
        f"{BUILD}/report.html",
    run:
        export_html(assemble(input.frame, input.chapters, output[0], published=FULL), output[0], TITLE)
