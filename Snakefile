# The study as a graph of files: dataset -> runs -> notebooks with their figures and facts -> report. `make report` calls
# it; by hand: snakemake --cores all --config profile=full data_dir=path/to/stanford_cars
# A finished run (Profile.is_finished) is a given file here, and no job: it is never trained again by accident.

import json
import re
import shlex
import sys

from study.config import load_profile, project_path

PROFILE = load_profile(config.get("profile", "quick"), config.get("data_dir") or "")
FULL = PROFILE.published  # run files, figures and facts are tracked
BUILD, RESULTS, FIGURES = PROFILE.folders
CARS, MNIST, FACTS = f"{RESULTS}/{PROFILE.dataset}", f"{RESULTS}/mnist", f"{BUILD}/facts"
STUDY = f"{shlex.quote(sys.executable)} -m study"
RUNS = [f"{RESULTS}/{run}.json" for run in PROFILE.runs]
GROUPS = {run.split("/")[1] for run in PROFILE.runs}
DATASET = f"{BUILD}/dataset-{PROFILE.dataset}.json"
SOURCES = [str(path) for path in project_path("src").rglob("*.py")]
# The C library keeps its memory instead of giving it back after every step: a third of XLA's time at these sizes.
ONE_CORE = "NPROC=1 NUNES_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296"

# The chapters of the report: notebook: (what it reads, its figures, its parameters). Those whose runs a profile does not
# have are left out.
STORY = {"results_dir": CARS}
OWN_DATA = {"dataset": PROFILE.dataset, "data_dir": PROFILE.data_dir}
FIRST = dict(zip(("label", "image_size"), PROFILE.datasets[0]))
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
    "04_mnist": ([], [f"mnist_{name}" for name in ("digits", "learning", "mistakes", "confusion")], {}),
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
        ["budget", "filters", "makes", "models", "guesses"],
        STORY | {"data_dir": PROFILE.data_dir},
    ),
    "11_speed": ([], ["speed"], SPEED),
}
NEEDS = {"07_sensitivity": "surface", "08_mechanism": "ablation", "09_tables": "mlp", "10_models": "models"}
CHAPTERS = {
    name: chapter
    for name, chapter in CHAPTERS.items()
    if (name != "04_mnist" or FULL) and NEEDS.get(name, "comparison") in GROUPS
}
MANY_CORES = {"03_adasmooth", "04_mnist", "11_speed"}


def parameters(values):
    return " ".join(f"-p {name} {shlex.quote(str(value))}" for name, value in values.items())


rule all:
    default_target: True
    input:
        ([f"{BUILD}/report.html"] + (["data/results/facts.csv"] if FULL else [])) if CHAPTERS else RUNS,


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
            print(f"{cars.name}, {size} px: {cars.counts} images ({cars.source})")
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
        parameters=lambda wildcards: parameters(
            PROFILE.runs[wildcards.run].model_dump()
            | {"arm": PROFILE.arms[wildcards.run], "result": f"{RESULTS}/{wildcards.run}"}
        ),
    wildcard_constraints:
        run="|".join(re.escape(run) for run in PROFILE.runs if not FULL or not PROFILE.is_finished(run)) or "(?!)",
    shell:  # One core a run, as many runs as cores: more is done in the hour than with all cores on one run after another.
        "{ONE_CORE} {STUDY} notebook notebooks/05_train.ipynb {params.notebook} {params.parameters}"
        " -p checkpoint {params.checkpoint} && rm -f {params.checkpoint}"


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
        params:
            parameters(values | {"figures_dir": FIGURES} | ({} if chapter == "02_nunes" else {"facts_dir": FACTS})),
        threads: workflow.cores if chapter in MANY_CORES else 1
        shell:
            "{STUDY} notebook {input.notebook} {output[0]} {params}"


rule report:
    input:
        chapters=[f"{BUILD}/notebooks/{chapter}.ipynb" for chapter in CHAPTERS],
        frame="notebooks/12_report.ipynb",
        sources=SOURCES,
    output:
        f"{BUILD}/report.html",
    run:
        from study.report import assemble, export_html

        notebook = assemble(input.frame, input.chapters, published=FULL)
        export_html(notebook, output[0], "AdaSmooth and AlexNet, from scratch and measured")


if FULL and CHAPTERS:

    rule facts:  # gathered from the notebooks, and the README's table is made of them
        input:
            [f"{FACTS}/{chapter}.csv" for chapter in CHAPTERS if chapter != "02_nunes"],
        output:
            "data/results/facts.csv",
        run:
            import pandas

            from study.results import load_facts

            pandas.concat(map(pandas.read_csv, input)).to_csv(output[0], index=False)
            readme, facts = project_path("README.md"), load_facts(output[0])
            lines = ["| optimizer | test accuracy, % | validation loss | runs |", "|---|---|---|---|"]
            for arm in ("Adam", "AdaSmooth", "AdaSmoothDelta", "RMSProp", "AdaDelta", "SGD"):
                accuracy, loss = (facts[f"body.{kind}.{arm}"] for kind in ("accuracy", "loss"))
                lines.append(f"| {arm} | {accuracy} | {loss} | {accuracy.n} |")
            before, rest = readme.read_text().split("<!-- results:begin -->\n")
            after = rest.partition("<!-- results:end -->")[2]
            table = "\n".join(lines)
            readme.write_text(f"{before}<!-- results:begin -->\n{table}\n<!-- results:end -->{after}")
