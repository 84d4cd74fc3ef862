"""The command `wsol`: parses arguments, calls the library, prints; imports torch only when used."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from wsol.cli import (
    benchmark,
    browser,
    calibrate,
    compare,
    demo,
    evaluate,
    manifest,
    models,
    predict,
    reproduce,
    shift,
    speed,
    train,
)
from wsol.cli.console import show_warnings

app = typer.Typer(
    name="wsol",
    help="Weakly-supervised object localization: boxes from classifiers trained on image labels.",
    add_completion=False,
    no_args_is_help=True,
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
) -> None:
    """Take options that belong to no command."""


app.command("demo")(demo.demo)
app.command("predict")(predict.predict)
app.command("shift")(shift.shift)
app.command("train")(train.train)
app.command("calibrate")(calibrate.calibrate)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("benchmark")(benchmark.benchmark)
app.command("reproduce")(reproduce.reproduce)
app.command("app")(browser.browser)
app.command("models")(models.models)
app.command("speed")(speed.speed)
app.add_typer(manifest.app, name="manifest")


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0 good, 1 something failed, 2 wrong use, 130 interrupted.

    Args:
        arguments: without the program's name; by default those of the process
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):  # file names need not be text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    show_warnings()
    try:
        code = app(arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("Interrupted\n")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        if text := " ".join(message().split()):
            sys.stderr.write(f"Error: {text}\n")
        sys.exit(getattr(error, "exit_code", 2))
    sys.exit(code if isinstance(code, int) else 0)
