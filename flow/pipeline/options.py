"""Options of the commands of a run folder, and how a field of a dataclass declares one.

`xnoreplay.flow.pipeline.settings.Settings` declares an option by one field. The command line with its help and
its reference page, the memory of a run folder, the check of the value and the configurations of the steps follow
from that field.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from xnoreplay.spec import limits
from xnoreplay.spec.errors import SpecError, require, shown, unknown

COMMANDS = (
    "run",
    "pretrain",
    "export",
    "cil",
    "simulate",
    "generate",
    "cosim",
    "mutate",
    "prove",
    "synth",
    "explore",
    "upset",
    "report",
)
"""Commands that bring steps of a run folder up to date: `run` for all of them, the others named as their step."""


class Memory(Enum):
    """What a run folder does with a value once it was given."""

    NONE = "forgets it: a command that does not give it takes the default"
    FOLDER = "keeps it for the next commands"
    TRAINING = "keeps it until its network or scenario changes, or a training is asked for again"


@dataclass(frozen=True)
class Option:
    """How an option is offered, checked and used.

    Parameters
    ----------
    help : str
        A sentence for `--help`, without the default.
    metavar : str, optional
        What stands for the value in `--help`; of no use to a bool.
    steps : tuple of str
        Steps whose configuration holds the value under the field's name.
    commands : tuple of str
        Commands of `COMMANDS` that offer it.
    memory : Memory
        What the run folder does with it.
    flag : str
        Its name on the command line.
    switch : bool
        Whether a bool can be switched on alone, so that there is no `--no-...`.
    off : str
        Name that switches a bool off.
    default_text : str
        What `--help` says of the default in place of the value.
    bound : str
        Name of `limits.MOST` whose bound holds for an int.
    choices : callable
        Without arguments: the words that a str, or each entry of a tuple, may be. None allows any.
    kind : type
        Type of the value.
    default : object
        The value of a command that does not give the option, where the folder has none.
    """

    help: str
    metavar: str | None = None
    steps: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    memory: Memory = Memory.NONE
    flag: str = ""
    switch: bool = False
    off: str = ""
    default_text: str = ""
    bound: str = ""
    choices: Callable[[], Iterable[str]] | None = None
    kind: Any = str
    default: Any = None

    @property
    def base(self) -> type:
        """Type of a value that is given: `int` for `int | None`, `tuple` for `tuple[str, ...]`."""
        kinds = (
            [k for k in get_args(self.kind) if k is not type(None)]
            if isinstance(self.kind, UnionType)
            else [self.kind]
        )
        return get_origin(kinds[0]) or kinds[0]

    def check(self, name: str, value: object) -> None:
        """Refuse a value that is not of the option's type, bound and choices.

        Parameters
        ----------
        name : str
            Of the field, for the sentence.
        value : object
            None is taken where it is the default.

        Raises
        ------
        SpecError
            States the rule and the value.
        """  # noqa: DOC501  `unknown` makes a SpecError
        if value is None and self.default is None:
            return
        if self.base is bool:
            require.flag(name, value)
        elif self.base is int:
            limits.count(self.bound, value, name)
        elif self.base is str and not isinstance(value, str):
            raise SpecError(f"{name} must be a word, not {shown(value)}")
        if self.choices is not None:
            allowed = list(self.choices())
            for word in value if isinstance(value, tuple) else (value,):
                if word not in allowed:
                    raise unknown(self.flag.removeprefix("--"), word, allowed)

    def plain(self, value: Any) -> Any:
        """Return the value as a step's configuration and `run.json` hold it: paths as text, tuples as lists."""
        if isinstance(value, Path):
            return str(value)
        return list(value) if isinstance(value, tuple) else value

    def restore(self, value: Any) -> Any:
        """Return the value of which `plain` made this; one of another type is left for `check` to refuse."""
        if self.base is Path and isinstance(value, str):
            return Path(value)
        return tuple(value) if self.base is tuple and isinstance(value, list) else value


def option(default: Any, help: str, metavar: str | None = None, **chosen: Any) -> Any:
    """Declare a field of a dataclass that is an option.

    Parameters
    ----------
    default : object
        Of the field.
    help, metavar
        As `Option` has them.
    **chosen
        Further fields of `Option`. The command line's name, the commands and the bound follow from the name of the
        field and from its steps where they are not given; `in_run=True` has the command `run` offer it, too.

    Returns
    -------
    dataclasses.Field
        As `dataclasses.field` returns it.
    """
    in_run = chosen.pop("in_run", False)
    chosen.setdefault("commands", ("run",) * in_run + chosen.get("steps", ()))
    return field(
        default=default,
        metadata={"option": Option(help, metavar, default=default, **chosen)},
    )


def of_fields(kind: type) -> dict[str, Option]:
    """Collect the options that a dataclass declares.

    Parameters
    ----------
    kind : type
        A dataclass; fields without an `option` are passed over.

    Returns
    -------
    dict of str to Option
        By the name of the field, in its order, with what follows from name and type of the field.

    Raises
    ------
    ValueError
        Where a number has no bound: a fault of the field's declaration, which ends the import.
    """
    found = {
        f.name: _complete(f.name, f.metadata["option"], f.type)
        for f in dataclasses.fields(kind)
        if "option" in f.metadata
    }
    for name, declared in found.items():
        if declared.base is int and declared.bound not in limits.MOST:
            raise ValueError(f"option {name} must have a bound in spec/limits.py, but has none")
    return found


def _complete(name: str, declared: Option, kind: Any) -> Option:
    flag = declared.flag or f"--{name.replace('_', '-')}"
    return dataclasses.replace(declared, kind=kind, flag=flag, bound=declared.bound or name)
