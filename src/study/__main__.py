"""The command line: `python -m study COMMAND` (--help lists them). The Makefile and the Snakefile call it."""

import ast
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from study.config import PROJECT, RUN_FIELDS, ConfigError, RunConfig, check_choice, load_profile, recorded


@click.group(help=__doc__.splitlines()[0])
def main():
    pass


@main.command()
@click.option("--profile", default="quick", show_default=True)
@click.option("--data-dir", default="", help="Stanford Cars photographs; without, cars are rendered.")
@click.option("--cores", default="all", show_default=True)
def report(profile, data_dir, cores):
    """Run a profile of study.yaml and make its report; prints its path last."""
    from study.data import load_dataset

    chosen = load_profile(profile, data_dir)  # a mistake shows here, in one line, before anything starts
    for label, size in chosen.datasets:  # and so does one in the photographs
        load_dataset(chosen.dataset, chosen.data_dir, label, size)
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--rerun-incomplete", "--keep-going"]
    command += ["--quiet", "rules", "host", "reason", "--config", f"profile={profile}", f"data_dir={chosen.data_dir}"]
    if subprocess.run(command, cwd=PROJECT).returncode:
        raise ConfigError(f"the report of profile {profile!r} was not finished; the messages above say why")
    print(PROJECT / chosen.folders[0] / "report.html")


@main.command()
@click.argument("source")
@click.argument("target", type=Path)
@click.option("-p", "parameters", nargs=2, multiple=True, metavar="NAME VALUE")
def notebook(source, target, parameters):
    """Run a notebook with papermill, its parameters checked first and its output streamed.

    The executed copy appears only when it is complete.
    """
    import papermill
    from traitlets.config import Config

    if not Path(source).is_file():
        raise ConfigError(f"there is no notebook {source!r}")
    known, parameters = papermill.inspect_notebook(source), dict(parameters)
    for name, value in parameters.items():
        check_choice(f"parameter of {Path(source).name}:", name, sorted(known))
        parameters[name] = value if known[name]["inferred_type_name"] == "str" else parse(value)
    if "dataset" in known:  # it makes or looks at the data of a run: check before a kernel is started
        given = {name: parse(each["default"]) for name, each in known.items()} | parameters
        RunConfig(**{name: value for name, value in given.items() if name in RUN_FIELDS})
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial.ipynb")
    print(f"running {Path(source).name} -> {target}", flush=True)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel, not one in the home directory
    sockets = tempfile.TemporaryDirectory()  # of this kernel alone; over TCP it would warn that it is not encrypted
    options = {"kernel_name": "python3", "cwd": PROJECT, "progress_bar": False}
    options |= {"stdout_file": sys.stdout, "stderr_file": sys.stderr}
    options["config"] = Config(KernelManager={"transport": "ipc", "ip": f"{sockets.name}/kernel"})
    try:
        papermill.execute_notebook(source, partial, parameters, **options)
        partial.replace(target)
    except papermill.PapermillExecutionError as error:
        if error.ename == "ConfigError":
            raise ConfigError(error.evalue) from None
        raise
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


@main.command()
@click.argument("run")
@click.option("--data-dir", default="", help="Stanford Cars photographs, if it is of them.")
def again(run, data_dir):
    """Train a published run anew, and print its numbers beside the recorded; RUN is its .json."""
    from study.training import train

    try:
        record = json.loads(Path(run).read_text())
        config, before = RunConfig(**recorded(record) | {"data_dir": data_dir}), record["summary"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{run!r} is no run's file, as there are below data/results ({error})") from None
    summary = train(config).summary
    for name in ("train_loss", "val_loss", "test_loss", "test_accuracy"):
        if name in summary:
            print(f"{name}: recorded {before.get(name)}, now {summary[name]}")


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command continues")
