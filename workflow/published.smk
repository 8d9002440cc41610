# What is published of the study (`make published`): docs/index.html, the figures of README and report, facts.csv and
# README's table. The run files are enough for it. Included by the Snakefile, whose names are used here.

import shutil
from hashlib import sha256
from pathlib import Path

import nbformat
import pandas

from study.config import digest
from study.results import load_facts

PAGE, KEEP = Path("docs/index.html"), Path("data/results/chapters")
# These chapters need photographs or digits, or train anew. Once published they are kept, and given files as finished runs
# are, as long as their code is the same: made again they would differ by noise alone.
TEACHING = ["01_data", "02_nunes", "03_adasmooth", "04_mnist"]
SHOWN = "notebooks/0[1-46-9]*.ipynb notebooks/1*.ipynb data/PROTOCOL.md data/paper.csv data/results/*.csv figures/*.png"
SHOWN += f" {KEEP}/* {TIMINGS} workflow/page.py workflow/published.smk workflow/templates/report/*"
SHOWN += " src/study/plots.py src/study/results.py src/study/statistics.py"


def made_from():
    """A digest of all that the published page is made of."""
    files = [f"{RESULTS}/{run}{suffix}" for run in PROFILE.runs for suffix in (".json", ".csv")]
    files += [path.as_posix() for pattern in SHOWN.split() for path in Path().glob(pattern)]
    return digest(*((file, sha256(Path(file).read_bytes()).hexdigest()) for file in sorted(files)))


def is_current():
    return PAGE.exists() and f'content="{made_from()}"' in PAGE.read_text()


def code(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    return {
        cell.id: cell
        for cell in cells
        if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", [])
    }


def is_kept(name):
    """Whether a chapter was published, and by the code that its notebook has now."""
    kept, notebook = KEEP / f"{name}.ipynb", f"notebooks/{name}.ipynb"
    sources = [[cell.source for cell in code(each).values()] for each in (kept, notebook) if Path(each).exists()]
    return len(sources) == 2 and sources[0] == sources[1]


def keep(name):
    """Keep the outputs of an executed chapter without their pictures, and the words that its notebook has now."""
    executed, notebook = code(EXECUTED[name]), nbformat.read(f"notebooks/{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = executed[cell.id].outputs
            for output in cell.outputs:
                output.get("data", {}).pop("image/png", None)  # it is in figures/
    nbformat.write(notebook, KEEP / f"{name}.ipynb")


KEPT = [name for name in TEACHING if FULL and is_kept(name)]
EXECUTED = {name: f"{KEEP if name in KEPT else f'{BUILD}/notebooks'}/{name}.ipynb" for name in CHAPTERS}
for name in set(EXECUTED) & {"01_data", "03_adasmooth"} - set(KEPT) if config.get("publish") else []:
    check(PHOTOGRAPHS, f"notebook {name} has changed since it was published: make published DATA_DIR=path/to/stanford_cars")


if config.get("publish"):

    rule published:
        input:
            [] if is_current() else [*EXECUTED.values(), *([DATASET] if PHOTOGRAPHS else [])],
        run:
            if not input:
                print(f"{PAGE} is made of what there is")
                return
            if PHOTOGRAPHS:  # a published figure gives way only to one of the same photographs
                known = KEEP / "photographs.json"
                same = not known.exists() or known.read_text() == Path(DATASET).read_text()
                check(same, f"{PHOTOGRAPHS} holds other photographs than the published study's, which stays as it is")
                shutil.copy(DATASET, known)
            for name in set(EXECUTED) - set(KEPT):
                for figure in CHAPTERS[name][1]:
                    shutil.copy(f"{FIGURES}/{figure}.png", "figures")
                if name in TEACHING and name != "02_nunes":
                    shutil.copy(f"{FACTS}/{name}.csv", KEEP)
            for name in TEACHING:
                keep(name)
            facts = [Path(KEEP if name in TEACHING else FACTS) / f"{name}.csv" for name in EXECUTED if name != "02_nunes"]
            pandas.concat(map(pandas.read_csv, facts)).to_csv("data/results/facts.csv", index=False)
            readme, facts = Path("README.md"), load_facts("data/results/facts.csv")
            lines = ["| optimizer | test accuracy, % | validation loss | runs |", "|---|---|---|---|"]
            for arm in ("Adam", "AdaSmooth", "AdaSmoothDelta", "RMSProp", "AdaDelta", "SGD"):
                accuracy, loss = (facts[f"body.{kind}.{arm}"] for kind in ("accuracy", "loss"))
                lines.append(f"| {arm} | {accuracy} | {loss} | {accuracy.n} |")
            before, rest = readme.read_text().split("<!-- results:begin -->\n")
            after = rest.partition("<!-- results:end -->")[2]
            table = "\n".join(lines)
            readme.write_text(f"{before}<!-- results:begin -->\n{table}\n<!-- results:end -->{after}")
            page = assemble(FRAME, [*EXECUTED.values(), "data/PROTOCOL.md"], PAGE, published=True)
            export_html(page, PAGE, TITLE, made_from())
            print(PAGE)
