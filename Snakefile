# The study as a graph of files: dataset -> runs -> figures -> report. `make report` calls it; by hand:
#   snakemake --cores all --config profile=full data_dir=path/to/stanford_cars
# A finished run (Profile.is_finished) is a given file here, and no job: it is never trained again by accident.

import json
import re
import shlex
import sys

from study.config import load_profile, project_path

PROFILE = load_profile(config.get("profile", "quick"), config.get("data_dir") or "")
BUILD, RESULTS, FIGURES = PROFILE.build, PROFILE.results, PROFILE.figures
STUDY = f"{shlex.quote(sys.executable)} -m study"
RUNS = [f"{RESULTS}/{run}.json" for run in PROFILE.runs]
DATASET = f"{BUILD}/dataset-{PROFILE.dataset}.json"
SOURCES = [str(path) for path in project_path("src").rglob("*.py")]
# The C library keeps its memory instead of giving it back after every step: a third of XLA's time at these sizes.
ONE_CORE = "NPROC=1 NUNES_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296"
SPEED = [f"{RESULTS}/speed.csv", f"{FIGURES}/speed.png"]
GROUPS = {run.split("/")[0] for run in PROFILE.runs}
# The notebooks that read the runs, and the figures that they make; those whose runs a profile does not have are left out.
STORIES = {"06_convergence": ["convergence", "differences", "confusion", *{"tuning"} & GROUPS]}
if {run.backend for run in PROFILE.runs.values()} == {"numpy", "jax"}:
    STORIES["06_convergence"].append("implementations")
if "surface" in GROUPS:
    STORIES["07_sensitivity"] = ["surface"]
if "ablation" in GROUPS:
    STORIES["08_mechanism"] = ["ablation", "ratios"]
if "models" in GROUPS:
    STORIES["10_models"] = ["budget", "filters", "makes", "models", "guesses"]


def parameters(**values):
    return " ".join(f"-p {name} {shlex.quote(str(value))}" for name, value in values.items())


rule all:
    default_target: True
    input:
        f"{BUILD}/report.html",


rule dataset:
    output:
        DATASET,
        [f"{RESULTS}/split.csv"] if PROFILE.name == "full" else [],
    params:
        data_dir=PROFILE.data_dir,
    run:
        from study.data import load_dataset, write_split

        found = {}
        for label, size in PROFILE.datasets:
            cars = load_dataset(PROFILE.dataset, PROFILE.data_dir, label, size)
            found[f"{label}, {size} px"] = cars.about()
            print(f"{cars.name}, {size} px: {cars.counts} images ({cars.source})")
        with open(output[0], "w") as file:
            json.dump(found, file, indent=1)
        for path in output[1:]:
            write_split(cars, path)


rule train:
    input:
        ancient(DATASET),
        [] if PROFILE.name == "full" else SOURCES,
    output:
        f"{RESULTS}/{{run}}.json",
        f"{RESULTS}/{{run}}.csv",
    params:
        notebook=f"{BUILD}/notebooks/runs/{PROFILE.dataset}/{{run}}.ipynb",
        checkpoint=f"{BUILD}/checkpoints/{PROFILE.dataset}/{{run}}.npz",
        parameters=lambda wildcards: parameters(
            **PROFILE.runs[wildcards.run].to_dict(),
            data_dir=PROFILE.data_dir,
            result=f"{RESULTS}/{wildcards.run}",
        ),
    wildcard_constraints:
        run="|".join(re.escape(run) for run in PROFILE.runs if not PROFILE.is_finished(run)) or "(?!)",
    shell:  # One core a run, as many runs as cores: more is done in the hour than with all cores on one run after another.
        "{ONE_CORE} {STUDY} notebook notebooks/05_train.ipynb {params.notebook} {params.parameters}"
        " -p checkpoint {params.checkpoint} && rm -f {params.checkpoint}"


rule data:
    input:
        DATASET,
        SOURCES,
        notebook="notebooks/01_data.ipynb",
    output:
        f"{BUILD}/notebooks/01_data.ipynb",
        [f"{FIGURES}/{name}.png" for name in ("images", "splits", "classes", "duplicates", "augmentation", "rendered_cars")],
    params:
        parameters(
            dataset=PROFILE.dataset,
            data_dir=PROFILE.data_dir,
            label=PROFILE.datasets[0][0],
            image_size=PROFILE.datasets[0][1],
            figures_dir=FIGURES,
        ),
    shell:
        "{STUDY} notebook {input.notebook} {output[0]} {params}"


rule nunes:
    input:
        SOURCES,
        notebook="notebooks/02_nunes.ipynb",
    output:
        f"{BUILD}/notebooks/02_nunes.ipynb",
        f"{FIGURES}/spirals.png",
    shell:
        "{STUDY} notebook {input.notebook} {output[0]} -p figures_dir {FIGURES}"


rule adasmooth:
    input:
        DATASET,
        SOURCES,
        notebook="notebooks/03_adasmooth.ipynb",
    output:
        f"{BUILD}/notebooks/03_adasmooth.ipynb",
        [f"{FIGURES}/adasmooth_{name}.png" for name in ("coordinate", "first_step", "ratio", "paths", "frozen")],
    params:
        parameters(dataset=PROFILE.dataset, data_dir=PROFILE.data_dir, figures_dir=FIGURES),
    threads: workflow.cores
    shell:
        "{STUDY} notebook {input.notebook} {output[0]} {params}"


if PROFILE.name == "full":

    rule mnist:
        input:
            SOURCES,
            notebook="notebooks/04_mnist.ipynb",
        output:
            f"{BUILD}/notebooks/04_mnist.ipynb",
            [f"{FIGURES}/mnist_{name}.png" for name in ("digits", "learning", "mistakes", "confusion")],
        threads: workflow.cores
        shell:
            "{STUDY} notebook {input.notebook} {output[0]} -p figures_dir {FIGURES}"


for story, figures in STORIES.items():

    rule:
        name:
            story
        input:
            RUNS,
            SOURCES,
            notebook=f"notebooks/{story}.ipynb",
        output:
            f"{BUILD}/notebooks/{story}.ipynb",
            [f"{FIGURES}/{name}.png" for name in figures],
        params:
            parameters(
                results_dir=RESULTS,
                figures_dir=FIGURES,
                **{"data_dir": PROFILE.data_dir} if story == "10_models" else {},
            ),
        shell:
            "{STUDY} notebook {input.notebook} {output[0]} {params}"


if PROFILE.name == "full":
    from study import tables  # here: it imports JAX, which the quick profile's plan does not need

    TABLES = [f"data/results/mnist/{cell}.json" for cell in tables.RUNS]

    rule cell_of_the_tables:
        output:
            "data/results/mnist/{cell}.json",
        wildcard_constraints:
            cell="|".join(re.escape(cell) for cell, path in zip(tables.RUNS, TABLES) if not project_path(path).exists()) or "(?!)",
        shell:
            "{ONE_CORE} {STUDY} tables {wildcards.cell} {output}"

    rule tables:
        input:
            TABLES,
            SOURCES,
            notebook="notebooks/09_tables.ipynb",
        output:
            f"{BUILD}/notebooks/09_tables.ipynb",
            f"{FIGURES}/tables.png",
        shell:
            "{STUDY} notebook {input.notebook} {output[0]} -p figures_dir {FIGURES}"


# The published timings are of one machine, and stay unless they are deleted.
if PROFILE.name != "full" or not all(project_path(path).exists() for path in SPEED):

    rule speed:
        input:
            SOURCES,
            notebook="notebooks/11_speed.ipynb",
        output:
            SPEED,
        params:
            notebook=f"{BUILD}/notebooks/11_speed.ipynb",
            parameters=parameters(**PROFILE.speed),
        threads: workflow.cores
        shell:
            "{STUDY} notebook {input.notebook} {params.notebook} {params.parameters}"
            " -p timings {output[0]} -p figures_dir {FIGURES}"


rule report:
    input:
        DATASET,
        rules.data.output,
        rules.nunes.output,
        rules.adasmooth.output,
        [f"{BUILD}/notebooks/{story}.ipynb" for story in STORIES],
        [f"{FIGURES}/{name}.png" for figures in STORIES.values() for name in figures],
        [rules.mnist.output, rules.tables.output] if PROFILE.name == "full" else [],
        SPEED,
        RUNS,
        SOURCES,
        notebook="notebooks/12_report.ipynb",
    output:
        f"{BUILD}/notebooks/12_report.ipynb",
        f"{BUILD}/report.html",
    params:
        parameters(
            results_dir=RESULTS,
            figures_dir=FIGURES,
            tables_dir="data/results/mnist" if PROFILE.name == "full" else "",
            dataset_file=DATASET,
        ),
    shell:
        "{STUDY} notebook {input.notebook} {output[0]} {params}"
        " && {STUDY} html {output[0]} {output[1]} --title 'AdaSmooth and AlexNet, from scratch and measured'"
