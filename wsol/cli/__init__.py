"""The command `wsol`: parses arguments, calls the library, prints; imports torch only when used."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial
from typing import Annotated

import typer

from wsol.cli import (
    benchmark,
    browser,
    calibrate,
    compare,
    demo,
    evaluate,
    export,
    manifest,
    models,
    predict,
    reproduce,
    shift,
    speed,
    train,
)
from wsol.cli.collecting import loading
from wsol.cli.completing import settle_shell
from wsol.cli.console import show_warnings, silence
from wsol.cli.groups import HelpfulGroup
from wsol.cli.streams import escaped_streams
from wsol.cli.together import describe_use, is_told, run_together
from wsol.cli.usage import debugging, describe_error, show_traceback

app = typer.Typer(
    name="wsol",
    help="Weakly-supervised object localization: boxes from classifiers trained on image labels.",
    cls=HelpfulGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"wsol-tdam {version('wsol-tdam')}, torch {version('torch')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print versions and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from; with every command.")
    ] = False,
) -> None:
    """Take options that belong to no command; `main` has taken `--debug` already."""


app.command("demo")(demo.demo)
app.command("predict")(predict.predict)
app.command("shift")(shift.shift)
app.command("train", epilog=describe_use("train"))(train.train)
app.command("calibrate")(calibrate.calibrate)
app.command("evaluate", epilog=describe_use("evaluate"))(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("benchmark", epilog=describe_use("benchmark"))(benchmark.benchmark)
app.command("reproduce", epilog=describe_use("reproduce"))(reproduce.reproduce)
app.command("export")(export.export)
app.command("app")(browser.browser)
app.command("models")(models.models)
app.command("speed")(speed.speed)
app.add_typer(manifest.app, name="manifest")


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0 good, 1 something failed, 2 wrong use, 130 interrupted.

    Args:
        arguments: without the program's name; by default those of the process
    """
    given, debug = _take_debug(sys.argv[1:] if arguments is None else arguments)
    show_warnings()
    settle_shell()
    with escaped_streams(), loading():
        token = debugging.set(debug)
        try:
            code = run_together(given, partial(_run, given))
        finally:
            debugging.reset(token)
    sys.exit(code)


def _take_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Take `--debug` out, which may stand anywhere before a `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = [argument for argument in arguments[:end] if argument != "--debug"]
    return [*flags, *arguments[end:]], len(flags) < end


def _run(arguments: list[str]) -> int:
    """Run the command; every error becomes a line, and its exit code is returned."""
    try:
        code = app(arguments, standalone_mode=False)
        sys.stdout.flush()  # while what the system has against it can still be said
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("Interrupted\n")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        silence(sys.stdout)
        return 1
    except Exception as error:
        return _end(error)
    return code if isinstance(code, int) else 0


def _end(error: Exception) -> int:
    """Say what ended the command, and give its exit code."""
    if is_told(error):
        return 1
    show_traceback()
    with suppress(OSError):
        sys.stderr.write(f"Error: {describe_error(error)}\n")
    try:
        sys.stdout.flush()
    except OSError:
        silence(sys.stdout)
    return int(getattr(error, "exit_code", 1))
