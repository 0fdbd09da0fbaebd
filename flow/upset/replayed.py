"""Sessions of a campaign once more, in the Verilog: the same upsets in the same cycles, every memory bit compared."""

from collections import Counter
from pathlib import Path

from xnoreplay.flow.explore.jobs import Sources
from xnoreplay.flow.run.step import Context
from xnoreplay.flow.upset import sessions
from xnoreplay.flow.upset.sessions import BEYOND, COMMANDS, Bench
from xnoreplay.flow.verify.cosim.chip import opened
from xnoreplay.flow.verify.cosim.resets import HOST
from xnoreplay.flow.verify.cosim.script import Script, Step, changing, write
from xnoreplay.flow.verify.cosim.step import check
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, registers, snapshot
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import READ_ONLY
from xnoreplay.spec.snapshot import Snapshot

Chosen = list[tuple[str, dict]]
"""Place, and a record of `campaign.share_of` with its rate."""


def chosen(result: dict, count: int) -> Chosen:
    """Choose sessions with upsets, spread over places, rates and outcomes.

    Each place gives its first session of its highest rate, then each its first of the next, and so on.
    """
    series = [
        [
            (place["name"], record | {"rate": rate["rate"]})
            for rate in (*reversed(place["rates"]), place["one"])
            for record in _repeatable(rate["records"])[:1]
        ]
        for place in result["places"]
    ]
    longest = max(map(len, series), default=0)
    return [s[n] for n in range(longest) for s in series if n < len(s)][:count]


def _repeatable(records: list[dict]) -> list[dict]:
    """Those of which a simulation tells what the chip does."""
    return [record for record in records if record["outcome"] != BEYOND]


def script(bench: Bench, start: Snapshot, seed: int, found: Chosen) -> tuple[Script, int]:
    """The script that repeats sessions, and how many upsets they have.

    Before each, memories and registers are written as they were at the session's start, and restored.

    Parameters
    ----------
    bench : Bench
        Of `start`.
    start : Snapshot
        Of `sessions.prepared`.
    seed : int
        Of the campaign.
    found : list
        As `chosen` returns it.

    Raises
    ------
    CheckFailure
        Where a session leaves another chip than the campaign's.
    """
    plan = bench.plan
    windows = {w.memory.name for w in snapshot.windows(plan)} - set(READ_ONLY)
    begin = [write(name, start.memories[name]) for name in start.memories if name in windows]
    legal = registers.writable(plan.memories)
    values = tuple((int(r), start.registers[r]) for r in legal)
    begin += [Step(HOST, transfers=values), Step("restore", bus=True)]
    looked, steps, count = changing(plan), [], 0
    for place, record in found:
        rate = record["rate"]
        named = sessions.seed_of(seed, place, rate, record["number"])
        upsets = sessions.drawn(plan, place, rate, bench.cycles, named)
        parts = bench.split(upsets)
        count += sum(map(len, parts))
        if bench.digest() != record["digest"]:
            raise CheckFailure(
                f"a session must come out again as the campaign recorded it, but number {record['number']} with {place} "
                f"at rate {rate:g} does not"
            )
        steps += begin
        steps += [
            Step(command, upsets=part, memories=looked, bus=True)
            for command, part in zip(COMMANDS, parts, strict=True)
        ]
        steps.append(Step("infer", 0, 0, memories=looked))
    return Script(tuple(steps), bench.images[:1]), count


def repeat(
    preset: Preset,
    bundle: Bundle,
    verilog: Path,
    sources: Sources,
    result: dict,
    count: int,
    context: Context,
) -> dict:
    """Repeat sessions of a campaign in Verilator.

    Parameters
    ----------
    preset : Preset
    bundle : Bundle
    verilog : Path
        Folder of the generated Verilog.
    sources : Sources
        Of the campaign; see `campaign.sources_of`.
    result : dict
        Of `campaign.run`.
    count : int
        How many sessions.
    context : Context
        Of the step: its folder takes the evidence of a difference.

    Returns
    -------
    dict
        sessions, upsets, cycles; places, how many sessions each place has among them.

    Raises
    ------
    CheckFailure
        Where the Verilog differs from the simulator, or a session from the campaign's.
    """  # noqa: DOC502  raised by `check` and `script`
    found = chosen(result, count)
    plan = plans.compile(preset.network, preset.target)
    with context.progress.task("sessions to repeat"):
        begin = snapshot.read(plan, Path(str(sources.state)))
        bench = sessions.bench(presets.to_dict(preset), sources)
        made, upsets = script(bench, begin, result["seed"], found)
    with opened(preset, bundle, verilog, context.progress) as design:
        setup, _ = design.setup("verilator")
        outcome = check(design, setup, made, context.out)
    return {
        "sessions": len(found),
        "upsets": upsets,
        "cycles": outcome.cycles,
        "places": dict(Counter(place for place, _ in found)),
    }
