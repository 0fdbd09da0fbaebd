"""The table of commands: number, argument, refusals, operations and meaning of each, in one place.

Reference, learner, simulator and chip refuse what a row of the table refuses; the scripts of co-simulation, what
they must reach, `manifest.json` and the page of commands are read from it. A command that is refused changes
nothing. A sample that finds no room is no mistake: the command is carried out, and its sample is refused.
"""

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum, IntEnum
from typing import Any

import numpy as np

from xnoreplay.spec.errors import SpecError, require, shown
from xnoreplay.spec.plan import LEARNING_PHASES, Plan

ARGUMENTS = range(1 << 16)
"""What the upper half of a word of COMMAND can be."""
FEATURES = "features"  # among operations: those of a plan that make an image's latent
SESSION = "session"  # among operations: those of a plan that retrain


class Operand(Enum):
    """A number that a rule compares; its value is what a page calls it."""

    ARGUMENT = "the argument"
    SEEN = "SEEN"
    CLASSES = "the network's classes"


@dataclass(frozen=True)
class Relation:
    """A way to compare two numbers: as a function, which also builds logic of Amaranth's values, and in words."""

    compare: Any
    words: str


RELATIONS = {
    "<": Relation(operator.lt, "below {}"),
    ">=": Relation(operator.ge, "from {}"),
    "<=": Relation(operator.le, "to {}"),
    "!=": Relation(operator.ne, "must not be {}"),
}


@dataclass(frozen=True)
class Rule:
    """A comparison that must hold where a chip takes a command.

    Parameters
    ----------
    left : Operand
    relation : str
        One of `RELATIONS`. An argument is compared by an order, so that those that are taken are a range.
    right : Operand or int
    refusal : str
        What a co-simulation calls it where the rule does not hold.
    sentence : str
        The error of the reference and the simulator, with the fields ``{argument}``, ``{seen}``, ``{classes}``
        and ``{last}``, the greatest class.
    """

    left: Operand
    relation: str
    right: Operand | int
    refusal: str
    sentence: str

    def holds(self, values: Mapping[Operand, Any]) -> Any:
        """The comparison of `values`: of integers a bool, of Amaranth's values one bit."""
        right = self.right if isinstance(self.right, int) else values[self.right]
        return RELATIONS[self.relation].compare(values[self.left], right)

    def words(self) -> str:
        """The rule in words; one of the argument without its subject.

        >>> Rule(Operand.ARGUMENT, "<", Operand.SEEN, "", "").words()
        'below SEEN'
        >>> Rule(Operand.SEEN, "!=", 0, "", "").words()
        'SEEN must not be 0'
        """
        right = self.right if isinstance(self.right, int) else self.right.value
        text = RELATIONS[self.relation].words.format(right)
        return text if self.left is Operand.ARGUMENT else f"{self.left.value} {text}"


@dataclass(frozen=True)
class Row:
    """What the table says of one command, beside its name and its number.

    Parameters
    ----------
    meaning : str
        What the command does, as the end of a sentence that begins with its name.
    operations : tuple of str
        The phases of a plan that it runs, in order; `FEATURES` and `SESSION` stand for several. A plan that lacks
        the staging memory has no "admit", one of stored replay no "take" and no "empty", and one of generative
        replay no "insert", "evict" and "admit".
    changes : tuple of str
        Memories and registers, by name, that outlast a command and that this one may change. What every command
        changes is not among them: PHASE, STATUS and the counters.
    argument : str
        What an error calls its argument; "" where it has no use for one.
    title : str
        What the page of commands calls the argument, if other than `argument`.
    rules : tuple of Rule
        The command is refused where one does not hold.
    image : bool
        It takes an image from the pixel stream.
    counted : bool
        It needs the counts of labels, so it is refused while these are stale.
    """

    meaning: str
    operations: tuple[str, ...]
    changes: tuple[str, ...]
    argument: str = ""
    title: str = ""
    rules: tuple[Rule, ...] = ()
    image: bool = False
    counted: bool = True


_STORED = ("replay.latent", "replay.label", "replay.count")
_TAKEN = ("replay.mean", "replay.share", "fit.count", "fit.open")
_TRIMMED = ("replay.label", "replay.count", "QUOTA", "LFSR_WALK")


class Command(IntEnum):
    """Values of the command register's low byte; the argument is its upper half. Members have the fields of `Row`."""

    meaning: str
    operations: tuple[str, ...]
    changes: tuple[str, ...]
    argument: str
    title: str
    rules: tuple[Rule, ...]
    image: bool
    counted: bool

    def __new__(cls, number: int, row: Row | None = None) -> "Command":
        """A member: its number, with the fields of its row as attributes."""
        assert (
            row is not None
        )  # a call with a number alone looks a member up, and does not come here
        member = int.__new__(cls, number)
        member._value_ = number
        for field in fields(row):
            setattr(member, field.name, getattr(row, field.name))
        return member

    INFER = (
        1,
        Row(
            "recognises the image that comes on the pixel stream",
            operations=(FEATURES, "hidden", "output"),
            changes=("PREDICTION",),
            image=True,
            counted=False,
        ),
    )
    STAGE = (
        2,
        Row(
            "takes an image, and its latent into the staging memory",
            operations=(FEATURES, "take", "stage"),
            changes=("staging.latent", "staging.label", "staging.count", "STAGED", "SEEN", *_TAKEN),
            argument="label",
            rules=(
                Rule(
                    Operand.ARGUMENT,
                    "<",
                    Operand.CLASSES,
                    "label to stage",
                    "label must be an integer from 0 to {last}, not {argument}",
                ),
            ),
            image=True,
        ),
    )
    INSERT = (
        3,
        Row(
            "takes an image, and its latent into the replay memory",
            operations=(FEATURES, "take", "insert"),
            changes=(*_STORED, *_TAKEN),
            argument="label",
            rules=(
                Rule(
                    Operand.ARGUMENT,
                    "<",
                    Operand.SEEN,
                    "label to insert",
                    "label must be of one of the {seen} classes seen, not {argument}",
                ),
            ),
            image=True,
        ),
    )
    ARRIVE = (
        4,
        Row(
            "announces classes, sets QUOTA, and evicts what is above it",
            operations=("quota", "evict"),
            changes=("SEEN", *_TRIMMED),
            argument="seen",
            title="new value of SEEN",
            rules=(
                Rule(
                    Operand.ARGUMENT,
                    ">=",
                    Operand.SEEN,
                    "arrival of fewer",
                    "seen must be an integer from {seen} to {classes}, not {argument}",
                ),
                Rule(
                    Operand.ARGUMENT,
                    "<=",
                    Operand.CLASSES,
                    "arrival of more",
                    "seen must be an integer from {seen} to {classes}, not {argument}",
                ),
            ),
        ),
    )
    REBALANCE = (
        5,
        Row(
            "sets QUOTA, evicts, and moves staged samples into the replay memory",
            operations=("quota", "evict", "admit", "empty"),
            changes=("replay.latent", *_TRIMMED, "STAGED", "staging.count"),
        ),
    )
    EPOCH = (
        6,
        Row(
            "walks the samples of one epoch into the lanes, and trains nothing",
            operations=("epoch",),
            changes=("LFSR_WALK", "draw.state"),
        ),
    )
    RETRAIN = (
        7,
        Row(
            "a whole session",
            operations=(SESSION,),
            changes=(
                "cls.top",
                "cls.low",
                "cls.hidden_low",
                "LFSR_WALK",
                "LFSR_ERROR",
                "LFSR_UPDATE",
                "draw.state",
            ),
            rules=(
                Rule(
                    Operand.SEEN,
                    "!=",
                    0,
                    "retraining without a class",
                    "a class must have been announced before retraining, but none was",
                ),
            ),
        ),
    )
    RESTORE = (
        8,
        Row(
            "counts the labels anew after the host wrote them",
            operations=("restore",),
            changes=("replay.count", "staging.count"),
            counted=False,
        ),
    )

    def phases(self, plan: Plan) -> tuple[str, ...]:
        """Phases of a plan that the command runs, in order; of a session each once."""
        groups = {
            FEATURES: tuple(op.name for op in plan.feature_ops),
            SESSION: LEARNING_PHASES,
        }
        names = (n for part in self.operations for n in groups.get(part, (part,)))
        absent = set() if plan.replay.staging else {"admit"}
        return tuple(n for n in names if n in plan.phases and n not in absent)

    def arguments(self, seen: int, classes: int) -> range:
        """Arguments with which a chip that is idle and not stale takes the command; others get SLVERR.

        Parameters
        ----------
        seen : int
            The chip's register SEEN: how many classes have been announced.
        classes : int
            Of the network.

        Returns
        -------
        range
            Empty where the command is refused whatever its argument, as RETRAIN is while `seen` is 0. A command
            that has no use for its argument takes all of `ARGUMENTS`.
        """
        start, stop = ARGUMENTS.start, ARGUMENTS.stop
        for rule in self.rules:
            values = {Operand.SEEN: seen, Operand.CLASSES: classes}
            right = rule.right if isinstance(rule.right, int) else values[rule.right]
            if rule.left is not Operand.ARGUMENT:
                stop = stop if rule.holds(values) else start
            elif rule.relation == ">=":
                start = max(start, right)
            else:
                stop = min(stop, right + (rule.relation == "<="))
        return range(start, max(start, stop))

    def first_broken_rule(self, argument: int, seen: int, classes: int) -> Rule | None:
        """The first rule that a chip's state and an argument break; None where the command is taken.

        A negative argument, which no chip is ever given, breaks each rule on arguments.
        """
        values = {
            Operand.ARGUMENT: argument,
            Operand.SEEN: seen,
            Operand.CLASSES: classes,
        }
        for rule in self.rules:
            negative = rule.left is Operand.ARGUMENT and argument < 0
            if negative or not rule.holds(values):
                return rule
        return None

    def title_of_argument(self) -> str:
        """What the argument is and which ones are taken, for a page.

        >>> Command.INSERT.title_of_argument(), Command.RETRAIN.title_of_argument()
        ('label, below SEEN', 'none; SEEN must not be 0')
        >>> Command.ARRIVE.title_of_argument()
        "new value of SEEN, from SEEN to the network's classes"
        """
        own = [rule.words() for rule in self.rules if rule.left is Operand.ARGUMENT]
        others = [rule.words() for rule in self.rules if rule.left is not Operand.ARGUMENT]
        first = ", ".join(
            [self.title or self.argument or "none", *([" ".join(own)] if own else [])]
        )
        return "; ".join([first, *others])


def refused_arguments(command: Command, seen: int, classes: int) -> Iterator[tuple[int, Rule]]:
    """Arguments that an idle chip refuses: the least and the greatest, and those beside what rules compare with.

    A command that has no use for its argument is tried with 0 alone.

    Yields
    ------
    argument : int
    rule : Rule
        The rule that the argument breaks.
    """
    near = {n + d for n in (seen, classes) for d in (-1, 0, 1)} | {ARGUMENTS[0], ARGUMENTS[-1]}
    for argument in sorted(near & set(ARGUMENTS)) if command.argument else (0,):
        if (rule := command.first_broken_rule(argument, seen, classes)) is not None:
            yield argument, rule


def accept(
    command: Command, argument: object, seen: int, classes: int, stale: object = False
) -> int:
    """Check a command as the chip does before it takes it.

    Parameters
    ----------
    command : Command
    argument : object
        Any value where the command has a use for it; 0 elsewhere.
    seen, classes : int
        Classes announced so far, and those of the network.
    stale : object
        True where the counts of labels are stale; see `check_counted`.

    Returns
    -------
    int
        The argument as a Python integer.

    Raises
    ------
    SpecError
        Where the chip would answer SLVERR.
    """
    if command.counted:
        check_counted(command.name.lower(), stale)
    number = require.whole(command.argument, argument) if command.argument else 0
    rule = command.first_broken_rule(number, seen, classes)
    if rule is not None:
        raise SpecError(
            rule.sentence.format(
                argument=shown(number), seen=seen, classes=classes, last=classes - 1
            )
        )
    if command.argument:
        require.between(command.argument, number, ARGUMENTS[0], ARGUMENTS[-1])
    return number


def check_counted(command: str, stale: object) -> None:
    """Refuse a command that needs the counts of labels while these are stale.

    Parameters
    ----------
    command : str
        Its name; of a command whose row has `counted`.
    stale : object
        True where a host has written labels, SEEN or STAGED, and no restore has come to its end unrefused since.

    Raises
    ------
    SpecError
        Where `stale` is true.
    """
    if stale:
        raise SpecError(
            f"{command} must wait for a restore that is not refused, because the host has written "
            "labels, seen or staged, but there was none"
        )


def bits_of(what: str, bits: object, shape: Sequence[int | None]) -> np.ndarray:
    """Bits as a uint8 array of a shape, whose None is any number.

    Raises
    ------
    SpecError
        For another shape, for numbers that are no integers, and for values other than 0 and 1.
    """
    said = str(tuple("n" if n is None else n for n in shape)).replace("'", "")
    try:
        array = np.asarray(bits)
    except ValueError:  # lists of several lengths
        raise SpecError(f"{what} must have shape {said}, not rows of several lengths") from None
    fits = array.ndim == len(shape) and all(
        n in (None, m) for n, m in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise SpecError(f"{what} must have shape {said}, not {array.shape}")
    if array.dtype.kind not in "bui":
        raise SpecError(f"{what} must be bits in integers, as uint8, not {array.dtype}")
    if array.size and (array.min() < 0 or array.max() > 1):
        raise SpecError(f"{what} must be bits, 0 and 1, not {array.min()} to {array.max()}")
    return array.astype(np.uint8, copy=False)


def labels_of(labels: object, count: int, classes: int) -> np.ndarray:
    """(count,) classes of samples as int64.

    Raises
    ------
    SpecError
        For another shape, for numbers that are no integers, and for classes that the network has not.
    """
    array = np.asarray(labels)
    if array.shape != (count,):
        raise SpecError(f"labels must be {count:,}, one a sample, not of shape {array.shape}")
    if count and array.dtype.kind not in "ui":
        raise SpecError(f"labels must be integers, not {array.dtype}")
    if count and (array.min() < 0 or array.max() >= classes):
        raise SpecError(
            f"labels must be from 0 to {classes - 1}, not {array.min()} to {array.max()}"
        )
    return array.astype(np.int64)
