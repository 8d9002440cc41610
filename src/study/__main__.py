"""The command line: `python -m study COMMAND` (--help lists them). The Makefile and the Snakefile call it."""

import ast
import contextlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from study.config import PROJECT, RUN_FIELDS, ConfigError, RunConfig, check, check_choice
from study.profiles import load_profile

# What would change a report in the user's shell or home: settings of matplotlib, IPython and Jupyter.
STEADY = {"JUPYTER_PATH": "", "MATPLOTLIBRC": "", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
FOLDERS = "IPYTHONDIR JUPYTER_CONFIG_DIR JUPYTER_DATA_DIR MPLCONFIGDIR XDG_CACHE_HOME".split()
STEADY |= dict.fromkeys(FOLDERS, str(PROJECT / "build" / "cache"))


@click.group(help=__doc__.splitlines()[0])
def main():
    os.environ.update(STEADY, PYTHONUTF8="1")


@click.option("--profile", default="quick", show_default=True, help="One of study.yaml, or a .yaml file of your own.")
@click.option("--data-dir", default="", help="Stanford Cars photographs; without, cars are rendered.")
@click.option("--cores", default="all", show_default=True)
def report(profile, data_dir, cores):
    """Run a profile of study.yaml and make its report; prints its path last."""
    from study.data import load_dataset

    start, chosen = time.monotonic(), load_profile(profile, data_dir)  # a mistake shows here, before anything starts
    unfinished = {name for name in chosen.runs if not chosen.is_finished(name)}
    needed = [run for name, run in chosen.runs.items() if name in unfinished or run.dataset == chosen.dataset]
    for run in {(each.dataset, each.label, each.image_size): each for each in needed}.values():
        load_dataset(run.dataset, run.data_dir, run.label, run.image_size)  # and so does one in the photographs
    log = PROJECT / chosen.folders[0] / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    os.environ.update(STUDY_PROFILE=profile, STUDY_DATA_DIR=chosen.data_dir)
    os.environ["STUDY_REPORT"] = f"{platform.node()}:{os.getpid()}"
    command = ["sh", "-c", 'exec "$@" 2>>"$0"', str(log), sys.executable, "-m", "snakemake", "--cores", str(cores)]
    command += ["--rerun-incomplete", "--keep-going", "--scheduler", "greedy"]
    failed = subprocess.run(command, cwd=PROJECT).returncode
    minutes, seconds = divmod(round(time.monotonic() - start), 60)
    check(failed != 3, "another report is being made in this folder; wait for it, or end it")  # says the Snakefile
    check(not failed, f"not finished, after {minutes} min {seconds} s; Snakemake's log is {log}")
    print(f"finished in {minutes} min {seconds} s:\n{log.with_name('report.html')}")


def _stop(*_):
    """End at once; Snakemake and its jobs see it and end too (see the Snakefile)."""
    print("\ninterrupted; the same command continues", flush=True)
    os._exit(130)


@click.argument("source")
@click.argument("target", type=Path)
@click.option("-p", "parameters", nargs=2, multiple=True, metavar="NAME VALUE")
def notebook(source, target, parameters):
    """Run a notebook with papermill, its parameters checked first and its output streamed.

    The executed copy appears only when it is complete.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from nbconvert.filters import strip_ansi
    from traitlets.config import Config

    check(Path(source).is_file(), f"there is no notebook {source!r}")
    known, parameters = papermill.inspect_notebook(source), dict(parameters)
    for key, value in parameters.items():
        check_choice(f"parameter of {Path(source).name}:", key, sorted(known))
        parameters[key] = value if known[key]["inferred_type_name"] == "str" else parse(value)
    if "dataset" in known:  # it makes or looks at the data of a run: check before a kernel is started
        given = {key: parse(each["default"]) for key, each in known.items()} | parameters
        RunConfig(**{key: value for key, value in given.items() if key in RUN_FIELDS})
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial.ipynb")
    print("begins", flush=True)
    # The sockets are of this kernel alone; over TCP it would warn that it is not encrypted. Their path must be short.
    sockets = tempfile.TemporaryDirectory(dir="/tmp" if os.access("/tmp", os.W_OK) else None)
    options = {"kernel_name": "python3", "cwd": PROJECT, "progress_bar": False}
    options |= {"stdout_file": sys.stdout, "stderr_file": sys.stdout}
    options["config"] = Config(KernelManager={"transport": "ipc", "ip": f"{sockets.name}/kernel"})
    try:
        papermill.execute_notebook(source, partial, parameters, **options)
        partial.replace(target)
    except papermill.PapermillExecutionError as error:
        if error.ename == "ConfigError":
            raise ConfigError(error.evalue) from None
        print(strip_ansi("\n".join(error.traceback)), file=sys.stderr)
        raise ConfigError(f"{Path(source).name}: {error.ename}: {error.evalue}") from None
    except DeadKernelError:
        raise ConfigError(f"{Path(source).name}: its process died; what it said last stands above") from None
    finally:
        partial.unlink(missing_ok=True)
        sockets.cleanup()


def parse(value):
    """A parameter as typed: a number or True/False if it reads as one, else the text itself."""
    with contextlib.suppress(ValueError, SyntaxError):
        literal = ast.literal_eval(value)
        if isinstance(literal, int | float | bool | str):
            return literal
    return value


@click.argument("run")
@click.option("--data-dir", default="", help="Stanford Cars photographs, if it is of them.")
def again(run, data_dir):
    """Train a run anew, and compare its numbers with the recorded; RUN is its .json."""
    from study.results import load_run
    from study.training import train

    record, history = load_run(run)
    result = train(RunConfig(**record["config"] | {"data_dir": data_dir}))
    names = [name for name in ("train_loss", "val_loss", "test_loss", "test_accuracy") if name in result.summary]
    for name in names:
        print(f"{name}: recorded {record['summary'].get(name)}, now {result.summary[name]}")
    apart = abs(result.history.train_loss[0] / history.train_loss[0] - 1)  # later rounding has tipped many a maximum
    check(apart < 0.01, f"more than rounding: in the first epoch the training losses differ by {apart:.1%}")
    same = all(record["summary"].get(name) == result.summary[name] for name in names)
    print("the same, to the digits" if same else "the same but for rounding")


for each in (report, notebook, again):  # which stay functions
    main.command()(each)

if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command continues")
