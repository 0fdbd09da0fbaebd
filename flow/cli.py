"""The command line: it parses, calls, and turns errors into one sentence and an exit code.

Exit codes: 0 done, 1 bad input or a missing tool, 2 a design that failed a check, 130 interrupted.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import xnoreplay
from xnoreplay.flow.commands import board, costs, data, exchange, experiments, steps
from xnoreplay.flow.commands.options import PresetOption
from xnoreplay.flow.run import interrupts
from xnoreplay.flow.run.progress import heartbeat
from xnoreplay.spec.errors import SHOWN, CheckFailure, XnoreplayError, printable

BAD_INPUT, FAILED_CHECK, INTERRUPTED = 1, 2, interrupts.CODE
ENDLESS = 500  # characters of a word that is cut: longer than a path is

# typer shows its users BadParameter alone, of all the errors of the parser it carries.
ParserError: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)

app = typer.Typer(
    name="xnoreplay",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
presets_app = typer.Typer(help="Presets: networks, machines and scenarios by name.")
app.add_typer(presets_app, name="presets")


for command in (
    *steps.COMMANDS,
    *data.COMMANDS,
    *costs.COMMANDS,
    *experiments.COMMANDS,
    *exchange.COMMANDS,
    *board.COMMANDS,
):
    app.command()(command)


@app.command()
def doctor() -> None:
    """Show which tools are installed, and which caches are used.

    Each tool with its version, or what to do about a missing one.
    """  # noqa: DOC501  the text is the command's help
    from xnoreplay.flow.commands import doctor as examination

    diagnoses = examination.examine()
    typer.echo(examination.text(diagnoses))
    typer.echo(f"\n{examination.caches_text()}")
    if not all(d.healthy for d in diagnoses):
        raise typer.Exit(BAD_INPUT)


@app.command()
def draw(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="SVG file to write. [default: PRESET.svg]"),
    ] = None,
    preset: PresetOption = None,
    settings: costs.SetOption = None,
) -> None:
    """Draw the chip's block diagram.

    Units, memories and ways of data with the widths and depths of the preset's plan, as SVG for
    light and dark pages.
    """
    from xnoreplay.flow.output import diagram
    from xnoreplay.flow.run import files
    from xnoreplay.spec import plan, presets

    chosen = costs.dialled(presets.load(preset or "digits"), settings)
    path = file or Path(f"{chosen.name}.svg")
    files.require_writable(path, files.text_with("<svg", diagram.CAPTION))
    compiled = plan.compile(chosen.network, chosen.target)
    files.write_whole(path, diagram.chip_svg(compiled, chosen.name))
    typer.echo(f"block diagram: {path}")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(xnoreplay.__version__)


def _print_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Design a chip that recognises images with a fully-binarised network and keeps learning."""


@presets_app.command("list")
def presets_list() -> None:
    """Names of the presets, with what each recognises."""
    from xnoreplay.spec import presets

    width = max(map(len, presets.PRESETS))
    for name, preset in presets.PRESETS.items():
        net, scenario = preset.network, preset.scenario
        typer.echo(
            f"{name:{width}}  {net.height}x{net.width} {net.colour}, {net.weight_bits:,} weight "
            f"bits; {scenario.dataset}, {scenario.base} classes and {scenario.tasks} sessions"
        )


@presets_app.command("show")
def presets_show(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A preset's name, or a TOML file.")
    ],
):
    """Print a preset as a spec file, to save and change."""
    from xnoreplay.flow.commands.specfile import to_toml
    from xnoreplay.spec import presets

    typer.echo(to_toml(presets.load(name)), nl=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words of the command; those of this process without it.

    Returns
    -------
    int
        The exit code. A user's mistake is one sentence on standard error, never a traceback.
    """
    arguments = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    try:
        _refuse_empty(arguments)
        with heartbeat():
            code = app(args=arguments, standalone_mode=False, prog_name="xnoreplay")
    except XnoreplayError as error:
        return _fail(str(error), BAD_INPUT)
    except CheckFailure as error:
        return _fail(str(error.args[0]), FAILED_CHECK)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except MemoryError:
        return _fail(
            "the work must fit into the memory that this process may take, but does not", BAD_INPUT
        )
    except OSError as error:
        return _fail(f"a file could not be read or written: {error}", BAD_INPUT)
    except ParserError as error:
        return _fail(error.format_message(), BAD_INPUT)  # type: ignore[attr-defined]
    except Exception:
        if not interrupts.asked():  # a library may turn an interrupt into an error of its own
            raise
        code = INTERRUPTED
    if code == INTERRUPTED or interrupts.asked():  # typer turns Ctrl-C into this code
        return _fail(interrupts.STOPPED, INTERRUPTED)
    return code if isinstance(code, int) else 0


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty argument: a path made of it would be the current folder.

    Raises
    ------
    XnoreplayError
        Names the option.

    >>> _refuse_empty(["run", "--out", ""])
    Traceback (most recent call last):
    ...
    xnoreplay.spec.errors.XnoreplayError: --out must be given a value, not ''
    """
    for before, argument in zip(["an argument", *arguments], arguments, strict=False):
        name, _, value = argument.partition("=")
        if not argument or (name.startswith("--") and argument.endswith("=") and not value):
            raise XnoreplayError(f"{name or before} must be given a value, not ''")


def _fail(sentence: str, code: int) -> int:
    if interrupts.asked():  # what fails then fails because of it
        return interrupts.report()
    print(f"error: {_readable(sentence)}", file=sys.stderr)
    return code


def _readable(sentence: str) -> str:
    r"""Return a sentence with escapes for characters that no terminal shows, and with its endless words cut.

    >>> print(_readable("a\x1b[2J"), _readable("9" * 1000)[-22:])
    a\x1b[2J ... (1,000 characters)
    """
    return re.sub(
        rf"\S{{{ENDLESS},}}",
        lambda m: f"{m[0][:SHOWN]}... ({len(m[0]):,} characters)",
        printable(sentence, "\n"),
    )
