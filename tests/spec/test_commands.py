"""The table of commands: what is taken, what is refused and with which words, and what a page says of it."""

import re
from pathlib import Path

import pytest

from xnoreplay.spec import commands, plan, presets
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import SpecError

CLASSES = 4
TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "microarchitecture.md"
PAGES = (PAGE, DOCS / "host.md")
EDGES = (0, 1, CLASSES - 1, CLASSES, CLASSES + 1, 65_535)


def taken(command: Command, argument: int, seen: int) -> bool:
    """What docs/microarchitecture.md says, written once more."""
    return {
        Command.STAGE: argument < CLASSES,
        Command.INSERT: argument < seen,
        Command.ARRIVE: seen <= argument <= CLASSES,
        Command.RETRAIN: seen > 0,
    }.get(command, True)


@pytest.mark.parametrize("command", Command)
@pytest.mark.parametrize("seen", range(CLASSES + 1))
def test_rules_and_ranges_say_the_same(command, seen):
    legal = command.arguments(seen, CLASSES)
    for argument in EDGES:
        fine = taken(command, argument, seen)
        assert (argument in legal) == fine
        assert (command.first_broken_rule(argument, seen, CLASSES) is None) == fine


@pytest.mark.parametrize("seen", range(CLASSES + 1))
def test_refused_arguments_are_refused(seen):
    for command in Command:
        found = dict(commands.refused_arguments(command, seen, CLASSES))
        assert not any(taken(command, argument, seen) for argument in found)
        legal = command.arguments(seen, CLASSES)
        beside = {legal.start - 1, legal.stop} & set(commands.ARGUMENTS)
        assert beside <= found.keys() or not legal


@pytest.mark.parametrize("command", Command)
def test_the_stale_refuse_all_that_count(command):
    if command in (Command.INFER, Command.RESTORE):
        assert commands.accept(command, 0, 2, CLASSES, True) == 0
    else:
        with pytest.raises(SpecError, match=f"^{command.name.lower()} must wait for a restore"):
            commands.accept(command, command.arguments(2, CLASSES).start, 2, CLASSES, True)


def test_an_argument_past_its_register_is_refused():
    """Where no rule does so: in one that has none."""
    row = commands.Row("does nothing", (), (), argument="number")
    free = int.__new__(Command, 9)
    for name, value in (vars(row) | {"_name_": "FREE", "_value_": 9}).items():
        setattr(free, name, value)
    assert commands.accept(free, 65_535, 0, CLASSES) == 65_535
    with pytest.raises(SpecError, match="^number must be an integer from 0 to 65535, not 65536$"):
        commands.accept(free, 65_536, 0, CLASSES)


def test_operations_are_those_of_the_page():
    """The table of docs/microarchitecture.md, "Commands", with conv* for the convolutions."""
    text = PAGE.read_text(encoding="utf-8").split("## Commands")[1]
    rows = dict(re.findall(r"^\| (\w+) \| [^|]* \| ([^|]*?) \|$", text, re.MULTILINE))
    for command in Command:
        words = re.sub(r" \(.*", "", rows[command.name.lower()])
        if command is Command.RETRAIN:
            assert words.startswith("a session")
            continue
        convs = ", ".join(op.name for op in PLAN.convolutions)
        assert words.replace("conv*", convs) == ", ".join(command.phases(PLAN))


def test_pages_name_the_commands_that_need_no_counts():
    free = [command.name for command in Command if not command.counted]
    texts = {path.name: " ".join(path.read_text(encoding="utf-8").split()) for path in PAGES}
    assert f"every command but {' and '.join(free)} while STALE is 1" in texts["host.md"]
    names = " and ".join(f"`{name.lower()}`" for name in free)
    assert f"every command but {names} answers SLVERR" in texts["microarchitecture.md"]
