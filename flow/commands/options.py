"""Options of commands for the command line: those of run folders, from their one table, and a few for others."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from xnoreplay.flow.datasets import user_files
from xnoreplay.flow.pipeline.options import Memory, Option
from xnoreplay.flow.pipeline.settings import Request, offered, table


def shared(name: str, default_text: str | None = None) -> Any:
    """Return an option of the run folders' table for a command that has no run folder.

    Parameters
    ----------
    name : str
        Of the table.
    default_text : str, optional
        What `--help` says of the default; without it what the table says.

    Returns
    -------
    typer.models.OptionInfo
        For `Annotated`.
    """
    declared = table()[name]
    return _typer_option(declared, declared.default_text if default_text is None else default_text)


def step_command(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command of a run folder the options that `Settings` and `Request` declare for it.

    Parameters
    ----------
    function : callable
        Named as the command, and documented by its help. Its first parameter takes the `Request`; each further one
        is an option of its own, annotated as typer reads it.

    Returns
    -------
    callable
        The same for typer: its signature has the declared options in the table's order, then those of its own.
    """
    declared = offered(function.__name__)
    own = list(inspect.signature(function).parameters.values())[1:]
    names = [name for name in declared if name in Request.__dataclass_fields__]

    def command(**given: Any) -> None:
        values = {name: _value(declared[name], given.pop(name)) for name in declared}
        asked = {name: value for name in names if (value := values.pop(name)) is not None}
        function(Request(**asked, settings=values), **given)

    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if option.switch else None,
            annotation=Annotated[_type(option), _typer_option(option, _default_text(option))],
        )
        for name, option in declared.items()
    ]
    parameters += [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _type(option: Option) -> Any:
    """Return the type that typer reads a value as."""
    if option.switch:
        return bool
    return list[str] | None if option.base is tuple else option.base | None


def _value(option: Option, given: Any) -> Any:
    """Turn a value of the command line into one of the settings; None where the option is left open."""
    if option.base is tuple:
        return tuple(given) if given else None
    return None if option.switch and not given else given


def _typer_option(option: Option, default_text: str) -> Any:
    names = option.flag
    if option.base is bool and not option.switch:
        names = f"{names}/{option.off or names.replace('--', '--no-', 1)}"
    text = f"{option.help} [default: {default_text}]" if default_text else option.help
    return typer.Option(names, metavar=option.metavar, help=text)


def _default_text(option: Option) -> str:
    """Say what holds where an option is not given, as in "the run folder's, or 3"; '' where its help says enough."""
    if option.default_text:
        return option.default_text
    value = option.default
    if option.base is bool:
        text = "" if option.switch else option.flag if value else ""
    elif isinstance(value, tuple):
        text = " ".join(value)
    else:
        text = "" if value is None else str(value)
    return f"the run folder's, or {text}" if text and option.memory is Memory.FOLDER else text


PresetOption = Annotated[str | None, shared("preset", "digits")]
BundleOption = Annotated[Path | None, shared("bundle")]
UntrainedOption = Annotated[bool, shared("untrained")]
DataOption = Annotated[Path | None, shared("data")]
OrderSeedOption = Annotated[int | None, shared("order_seed")]
StepOption = Annotated[int | None, shared("step")]
JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", metavar="N", help="Number of worker processes. [default: all cores]"),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Run on the workers of a Dask scheduler; local starts some here.",
    ),
]
SeedsOption = Annotated[int | None, shared("seeds", str(table()["seeds"].default))]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FILE",
        help="Checkpoint of the pre-training; native replay starts from its real-valued weights.",
    ),
]
LatentsOption = Annotated[
    Path | None,
    typer.Option(
        "--latents",
        metavar="FILE",
        help="Latent file made by xnoreplay latents from this bundle. [default: packaged, or made]",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="Number of threads. [default: all cores]"),
]


def find_data(folder: Path | None) -> None:
    """Let every step find the data sets: `--data` stands before the environment variable."""
    if folder is not None:
        os.environ[user_files.VARIABLE] = str(folder)
