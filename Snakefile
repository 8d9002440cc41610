# The study as a graph of files: dataset -> runs -> figures -> report. `make report` calls it; by hand:
#   snakemake --cores all --config profile=full data_dir=path/to/stanford_cars
# A run that has its .json is finished: it is not trained again because a notebook or the dataset's file is newer.

import json
import sys

from study.config import load_profile, project_path

PROFILE = load_profile(config.get("profile", "quick"), config.get("data_dir") or "")
BUILD, RESULTS, FIGURES = PROFILE.build, PROFILE.results, PROFILE.figures
STUDY = f"{sys.executable} -m study"
RUNS = [f"{RESULTS}/{run}.json" for run in PROFILE.runs]
SIZES = sorted({(run.label, run.image_size) for run in PROFILE.runs.values()})
LABEL, SIZE = SIZES[0]
CONVERGENCE = ["convergence", "implementations", "confusion"]
if any(run.startswith("learning_rate/") for run in PROFILE.runs):
    CONVERGENCE.append("learning_rate")


wildcard_constraints:
    run="[^/]+/[^/]+",


rule all:
    default_target: True
    input:
        f"{BUILD}/report.html",


rule dataset:
    message: "preparing the dataset"
    output:
        f"{BUILD}/dataset-{PROFILE.dataset}.json",
    params:
        data_dir=PROFILE.data_dir,
    run:
        from study.data import load_dataset

        found = {}
        for label, size in SIZES:
            data_dir = project_path(PROFILE.data_dir) if PROFILE.data_dir else None
            cars = load_dataset(PROFILE.dataset, data_dir, label, size)
            found[f"{label}, {size} px"] = cars.counts | {"source": cars.source, "digest": cars.digest}
            print(f"{cars.name}, {size} px: {cars.counts} images ({cars.source})")
        with open(output[0], "w") as file:
            json.dump(found, file, indent=1)


def run_parameters(wildcards):
    fields = PROFILE.runs[wildcards.run].to_dict() | {"data_dir": PROFILE.data_dir}
    return " ".join(f"-p {name} '{value}'" for name, value in fields.items())


rule train:
    message: "training {wildcards.run}"
    input:
        ancient(f"{BUILD}/dataset-{PROFILE.dataset}.json"),
    output:
        f"{RESULTS}/{{run}}.json",
        f"{RESULTS}/{{run}}.csv",
    log:
        notebook=f"{BUILD}/notebooks/runs/{PROFILE.dataset}/{{run}}.ipynb",
    params:
        parameters=run_parameters,
        result=f"{RESULTS}/{{run}}",
        checkpoint=f"{BUILD}/checkpoints/{PROFILE.dataset}/{{run}}.npz",
    threads: workflow.cores
    shell:
        "{STUDY} notebook notebooks/03_train.ipynb {log.notebook} {params.parameters}"
        " -p result {params.result} -p checkpoint {params.checkpoint}"


rule data:
    message: "looking at the data"
    input:
        f"{BUILD}/dataset-{PROFILE.dataset}.json",
        notebook="notebooks/01_data.ipynb",
    output:
        f"{BUILD}/notebooks/01_data.ipynb",
        [f"{FIGURES}/{name}.png" for name in ("images", "classes", "augmentation")],
    params:
        dataset=PROFILE.dataset,
        data_dir=PROFILE.data_dir,
        label=LABEL,
        image_size=SIZE,
    shell:
        "{STUDY} notebook {input.notebook} {output[0]} -p dataset {params.dataset} -p data_dir '{params.data_dir}'"
        " -p label {params.label} -p image_size {params.image_size} -p figures_dir {FIGURES}"


rule nunes:
    message: "nunes in five minutes"
    input:
        notebook="notebooks/02_nunes.ipynb",
    output:
        f"{BUILD}/notebooks/02_nunes.ipynb",
        f"{FIGURES}/spirals.png",
    shell:
        "{STUDY} notebook {input.notebook} {output[0]} -p figures_dir {FIGURES}"


rule convergence:
    message: "comparing the convergence"
    input:
        RUNS,
        notebook="notebooks/04_convergence.ipynb",
    output:
        f"{BUILD}/notebooks/04_convergence.ipynb",
        [f"{FIGURES}/{name}.png" for name in CONVERGENCE],
    shell:
        "{STUDY} notebook {input.notebook} {output[0]} -p results_dir {RESULTS} -p figures_dir {FIGURES}"


rule speed:
    message: "measuring the speed"
    input:
        notebook="notebooks/05_speed.ipynb",
    output:
        f"{RESULTS}/speed.csv",
        f"{FIGURES}/speed.png",
    log:
        notebook=f"{BUILD}/notebooks/05_speed.ipynb",
    params:
        parameters=" ".join(f"-p {name} '{value}'" for name, value in PROFILE.speed.items()),
    threads: workflow.cores
    shell:
        "{STUDY} notebook {input.notebook} {log.notebook} {params.parameters}"
        " -p timings {output[0]} -p figures_dir {FIGURES}"


rule report:
    message: "writing the report"
    input:
        rules.data.output,
        rules.nunes.output,
        rules.convergence.output,
        rules.speed.output,
        RUNS,
        notebook="notebooks/06_report.ipynb",
    output:
        f"{BUILD}/notebooks/06_report.ipynb",
        f"{BUILD}/report.html",
    shell:
        "{STUDY} notebook {input.notebook} {output[0]} -p results_dir {RESULTS} -p figures_dir {FIGURES}"
        " && {STUDY} html {output[0]} {output[1]} --title 'AdaSmooth and AlexNet, from scratch and measured'"
