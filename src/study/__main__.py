"""The command line: `python -m study COMMAND` (--help lists them). The Makefile and the Snakefile call it."""

import argparse
import ast
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from study.config import PROJECT, RUN_FIELDS, ConfigError, RunConfig, check_choice, load_profile, project_path


def report(profile, data_dir, cores):
    """Make a profile's report with Snakemake; prints its path last."""
    from study.data import load_dataset

    chosen = load_profile(profile, data_dir)  # a mistake shows here, in one line, before anything starts
    for label, size in chosen.datasets:  # and so does one in the photographs
        load_dataset(chosen.dataset, chosen.data_dir, label, size)
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--rerun-incomplete", "--keep-going"]
    command += ["--quiet", "rules", "host", "reason", "--config", f"profile={profile}", f"data_dir={chosen.data_dir}"]
    status = subprocess.run(command, cwd=PROJECT).returncode
    if status:
        raise ConfigError(f"the report of profile {profile!r} was not finished; the messages above say why")
    if profile == "full":
        readme(check=False)
    print(PROJECT / chosen.build / "report.html")


def notebook(source, target, parameters):
    """Run a notebook with papermill, its output streamed; the executed copy appears only when it is complete.

    Raises:
        ConfigError: there is no such notebook or parameter, or a ConfigError inside the notebook.
    """
    import papermill
    from traitlets.config import Config

    if not Path(source).is_file():
        raise ConfigError(f"there is no notebook {source!r}")
    known = papermill.inspect_notebook(source)
    for name, value in parameters.items():
        check_choice(f"parameter of {Path(source).name}:", name, sorted(known))
        parameters[name] = value if known[name]["inferred_type_name"] == "str" else parse(value)
    if "dataset" in known:  # it makes or looks at the data of a run
        check_run({name: parse(each["default"]) for name, each in known.items()} | parameters)
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial.ipynb")
    print(f"running {Path(source).name} -> {target}", flush=True)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel, not one in the home directory
    sockets = tempfile.TemporaryDirectory()  # of this kernel alone; over TCP it would warn that it is not encrypted
    try:
        papermill.execute_notebook(
            source,
            partial,
            parameters,
            kernel_name="python3",
            cwd=PROJECT,
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
            config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets.name}/kernel"}),
        )
        partial.replace(target)
    except papermill.PapermillExecutionError as error:
        if error.ename == "ConfigError":
            raise ConfigError(error.evalue) from None
        raise
    finally:
        partial.unlink(missing_ok=True)
        sockets.cleanup()


def check_run(parameters):
    """Check those parameters that are a run's before a kernel is started for them."""
    config = RunConfig(**{name: value for name, value in parameters.items() if name in RUN_FIELDS})
    if config.data_dir and not config.data_dir.endswith(".npz"):
        from study import layouts

        layouts.find(project_path(config.data_dir))


def parse(value):
    """A parameter as typed: a number or True/False if it reads as one, else the text itself."""
    with contextlib.suppress(ValueError, SyntaxError):
        literal = ast.literal_eval(value)
        if isinstance(literal, int | float | bool | str):
            return literal
    return value


def again(run, data_dir):
    """Train a run anew as its file (.json) says, and print what was recorded and what came out now."""
    from study.training import train

    try:
        record = json.loads(Path(run).read_text())
        config, recorded = RunConfig(**record["config"] | {"data_dir": data_dir}), record["summary"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{run!r} is no run's file, as there are below data/results ({error})") from None
    summary = train(config).summary
    for name in ("train_loss", "val_loss", "test_loss", "test_accuracy"):
        if name in summary:
            print(f"{name}: recorded {recorded[name]}, now {summary[name]}")


def readme(check):
    """Write the generated parts of the README; with `check`, only tell whether they are up to date."""
    from study.report import README, generated_parts, update_readme

    before = README.read_text()
    after = update_readme(before, generated_parts())
    if after == before:
        return
    if check:
        raise ConfigError("README.md is stale; bring it up to date with: make readme")
    README.write_text(after)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m study", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("report", help="run a profile of study.yaml and make its report")
    command.add_argument("--profile", default="quick")
    command.add_argument("--data-dir", default="", help="Stanford Cars photographs; without, cars are rendered")
    command.add_argument("--cores", default="all")
    command = commands.add_parser("notebook", help="run a notebook with papermill, its parameters checked")
    command.add_argument("source")
    command.add_argument("target")
    command.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="parameters")
    command = commands.add_parser("html", help="render an executed notebook as one self-contained page")
    command.add_argument("source")
    command.add_argument("target")
    command.add_argument("--title", default="Report")
    command = commands.add_parser("again", help="train a published run anew, and print its numbers beside the recorded")
    command.add_argument("run", help="its file, data/results/.../NAME.json")
    command.add_argument("--data-dir", default="", help="Stanford Cars photographs, if it is of them")
    command = commands.add_parser("readme", help="write the README's generated parts")
    command.add_argument("--check", action="store_true", help="fail if they are stale, and write nothing")
    command = commands.add_parser("tables", help="train one cell of the paper's MNIST tables with ten seeds")
    command.add_argument("name", help="e.g. cnn-adasmooth_0.99")
    command.add_argument("path", help="the JSON file to write")
    command.add_argument("--seeds", type=int, default=10)
    command = commands.add_parser("accelerator", help="time JAX's training on the GPUs of this machine")
    command.add_argument("target", help="the CSV file to write")
    command.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 256, 512, 1024])
    command.add_argument("--image-size", type=int, default=227)
    args = vars(parser.parse_args(arguments))
    match args.pop("command"):
        case "report":
            report(**args)
        case "notebook":
            args["parameters"] = dict(args["parameters"])
            notebook(**args)
        case "html":
            from study.report import export_html

            export_html(args["source"], args["target"], args["title"])
        case "again":
            again(**args)
        case "readme":
            readme(**args)
        case "tables":
            from study import tables

            tables.run(**args)
        case "accelerator":
            from study.accelerator import measure

            target = Path(args.pop("target"))
            table = measure(**args)
            target.parent.mkdir(parents=True, exist_ok=True)
            table.to_csv(target, index=False, float_format="%.4g")


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command continues")
