"""Speed, measured: the same design and work in every simulator, one thread each, processor time.

Before them how long a person waits for anything; see `starts`.

An inference of all classes is the work. Slow simulators do fewer images, and Amaranth's own only the
first cycles of one: rates are per modelled cycle. Predictions of the simulator's modes and of bare
Verilator are held to the functional ones, cocotb's registers, counters and phases to fast mode.
An image of more cycles than a simulator gets is aborted by the host: of a large network it takes Icarus
hours.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.run import files, temporary, tools
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.speed import starts
from xnoreplay.spec import learning_plan
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import CheckFailure, SpecError, unknown
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset

FAST_CYCLES, STEP_CYCLES = 50_000_000, 5_000_000  # a few seconds each
BARE_CYCLES, COCOTB_CYCLES = 500_000, 200_000
AMARANTH_CYCLES, ICARUS_CYCLES = 300, 3_000  # slow simulators do part of an image
FUNCTIONAL_IMAGES, TORCH_IMAGES = 10_000, 400
RANDOM_IMAGES = 26_600  # three quarters are training images


@dataclass
class Figure:
    """One measurement.

    Parameters
    ----------
    name : str
        Of the simulator.
    cpu, build : float
        Seconds of processor time of the work, and of what precedes it.
    cycles, images : int
        Of the work done.
    notes : dict
        Further plain values.
    """

    name: str
    cpu: float
    cycles: int = 0
    images: int = 0
    build: float = 0.0
    notes: dict = field(default_factory=dict)

    def plain(self) -> dict:
        """Return the measurement as plain values by name, with its rates."""
        rates = {}
        if self.cycles:
            rates["cycles_per_second"] = self.cycles / self.cpu
        if self.images:
            rates["images_per_second"] = self.images / self.cpu
        return {
            "name": self.name,
            "cpu": self.cpu,
            "build": self.build,
            "cycles": self.cycles,
            "images": self.images,
            **rates,
            **self.notes,
        }


@dataclass(frozen=True)
class Common:
    """The design and work that all measurements share; images (n, *image_shape) uint8, labels (n,)."""

    preset: Preset
    bundle: Bundle
    plan: Plan
    images: np.ndarray
    labels: np.ndarray
    epochs: int
    progress: Progress

    @property
    def seen(self) -> int:
        """How many classes the chip has seen."""
        return self.preset.scenario.classes

    def count(self, cycles: int) -> int:
        """Return how many images take about so many cycles; at least one."""
        return max(1, min(len(self.images), cycles // self.plan.infer_cycles(self.seen)))

    def chip(self, mode: str = "fast"):
        """Make a simulated chip of the bundle that has seen every class."""
        from xnoreplay.sim.run import Simulator

        chip = Simulator(self.plan, self.bundle, mode)
        chip.arrive(self.seen)
        return chip

    def expected(self, n: int) -> list[int]:
        """Return the predictions of the first n images."""
        return self.chip().predict(self.images[:n]).tolist()


def simulator(common: Common, mode: str, cycles: int) -> Figure:
    """Measure the simulator in one of its modes; its build is what numba takes to load or compile."""
    start = time.process_time()
    chip = common.chip(mode)
    chip.infer(common.images[0])
    build = time.process_time() - start
    n = common.count(cycles)
    first, start = chip.cycles, time.process_time()
    found = [chip.infer(common.images[i]).prediction for i in range(n)]
    spent = time.process_time() - start
    _same(mode, common.expected(n), found)
    name = {"fast": "simulator, fast mode", "step": "simulator, stepping mode"}[mode]
    return Figure(name, spent, chip.cycles - first, n, build)


def command_line(_common: Common) -> Figure:
    """Measure `xnoreplay --help`."""
    spent, clock = starts.command_line()
    return Figure("xnoreplay --help", spent, notes={"clock": clock})


def kernels(common: Common) -> Figure:
    """Measure what `simulate` waits for where no kernel is compiled; it is all build."""
    spent, clock = starts.kernels(common.progress)
    return Figure("kernels, from an empty cache", 0.0, build=spent, notes={"clock": clock})


def functional(common: Common) -> Figure:
    """Measure the predictions of a data set, on every core; the time is all cores' together."""
    chip = common.chip()
    chip.predict(common.images[:8])
    n = min(FUNCTIONAL_IMAGES, len(common.images))
    with common.progress.task("functional simulation", n) as task:
        start, clock = time.process_time(), time.monotonic()
        chip.predict(common.images[:n], task.advance)
        spent = time.process_time() - start
    return Figure("simulator, functional", spent, 0, n, notes={"clock": time.monotonic() - clock})


def torch_float(common: Common) -> Figure:
    """Measure the network in PyTorch, single precision, one thread, its fastest batch and layout."""
    from xnoreplay.model import speed

    n = min(TORCH_IMAGES, len(common.images))
    with common.progress.task(f"PyTorch, {n} images"):
        found = speed.single_precision(common.bundle, common.images[:n])
    notes = {"batch": found.batch, "layout": found.layout}
    return Figure("PyTorch, single precision", found.seconds, 0, n, notes=notes)


def bare(common: Common, verilog: str) -> Figure:
    """Measure Verilator with a C++ program."""
    from xnoreplay.flow.verify import cosim
    from xnoreplay.flow.verify.cosim.bare import Design, bare_verilator

    n = common.count(BARE_CYCLES)
    design = Design(verilog, tools.verilator_env(), cosim.optimisation(verilog))
    found = bare_verilator(common.preset, common.bundle, common.images[:n], design, common.progress)
    return Figure(
        "Verilator, bare C++",
        found["seconds"],
        found["cycles"],
        n,
        found["build_cpu"],
        {"build_kept": found["build_kept"]},
    )


def cocotb(common: Common, verilog: str, name: str, cycles: int) -> Figure:
    """Measure the co-simulation's test bench, which looks at nothing but registers and counters.

    Its time and cycles are those of the images, from the end of the command before them on. An image
    of more than so many cycles is aborted after them.

    Raises
    ------
    CheckFailure
        Where registers, counters or phases are not those of the simulator.
    """
    from xnoreplay.flow.verify.cosim import chip, session
    from xnoreplay.flow.verify.cosim.faults import Faults
    from xnoreplay.flow.verify.cosim.script import Script, Step

    n, abort = common.count(cycles), 0
    if cycles < common.plan.infer_cycles(common.seen):
        abort = cycles
    infer = [Step("infer", 0, i, abort=abort) for i in range(n)]
    script = Script((Step("arrive", common.seen), *infer), common.images[:n])
    before = tools.children()
    with temporary.folder("bench") as work:
        shared = chip.DesignUnderTest(
            common.preset,
            common.bundle,
            verilog,
            Faults(),
            tools.verilator_env(),
            work,
            chip.optimisation(verilog),
            common.progress,
        )
        setup, built = shared.setup(name)
        build = tools.children() - before
        outcome = session.compare(setup, script, work / "run", f"cocotb, {name}", common.progress)
    if outcome.differences:
        raise CheckFailure(f"the Verilog must equal the simulator, but: {outcome.differences[0]}")
    title = {"verilator": "Verilator with cocotb", "icarus": "Icarus with cocotb"}[name]
    (first, start), *_, (last, end) = outcome.ends
    images = 0 if abort else n
    return Figure(title, end - start, last - first, images, build, {"build_kept": built.kept})


def amaranth(common: Common) -> Figure:
    """Measure Amaranth's own simulator on the first cycles of an image."""
    from amaranth.sim import Simulator

    from xnoreplay.hw.top import Chip

    chip = Chip(common.plan)
    entry = common.plan.input
    sent = entry.payloads(common.images[0])
    tdata, tvalid, tready = (
        getattr(chip, f"{entry.stream}_{name}") for name in ("tdata", "tvalid", "tready")
    )
    spent = [0.0]

    async def run(ctx) -> None:
        ctx.set(chip.host.command, int(Command.INFER))
        ctx.set(chip.host.start, 1)
        await ctx.tick()
        ctx.set(chip.host.start, 0)
        ctx.set(tvalid, 1)
        spent[0] = time.process_time()
        at = 0
        for _ in range(AMARANTH_CYCLES):
            ctx.set(tdata, sent[at % len(sent)])
            at += ctx.get(tready)
            await ctx.tick()
        spent[0] = time.process_time() - spent[0]

    start = time.process_time()
    with common.progress.task(f"Amaranth's simulator, {AMARANTH_CYCLES} cycles"):
        simulation = Simulator(chip)
        simulation.add_clock(1e-6)
        simulation.add_testbench(measure)
        simulation.run()
    build = time.process_time() - start - spent[0]
    return Figure("Amaranth's simulator", spent[0], AMARANTH_CYCLES, 0, build)


def session(common: Common) -> Figure:
    """Measure a retraining session in fast mode: full replay memory, new classes staged, many epochs."""
    from xnoreplay.sim.run import Simulator

    fill = _filler(common)
    target = replace(common.preset.target, epochs=1)
    warm = fill(Simulator(plans.compile(common.plan.network, target), common.bundle))
    warm.retrain()  # compiles, and says what utilisation is
    target = replace(common.preset.target, epochs=common.epochs)
    chip = fill(Simulator(plans.compile(common.plan.network, target), common.bundle))
    before, first = chip.counters, chip.cycles
    start, clock = time.process_time(), time.monotonic()
    with common.progress.task("retraining in fast mode, epochs", common.epochs) as task:
        chip.retrain(task.advance)
    spent = time.process_time() - start
    moved = {name: n - before[name] for name, n in chip.counters.items()}
    notes = {
        "clock": time.monotonic() - clock,
        "epochs": common.epochs,
        "samples": moved["learn.samples"] // common.epochs,
        "minibatches": moved["learn.minibatches"],
        "array_busy": moved["array.beats"] / moved["cycles"],
    }
    return Figure("retraining session, fast mode", spent, chip.cycles - first, notes=notes)


def _filler(common: Common) -> Callable:
    """Return what fills a chip, as far as there are images: with samples of the base classes, and of the first task's.

    They lie in replay and staging memory, or are taken by components where replay is generative.
    """
    from xnoreplay.flow.verify import simulate_large

    old, new = simulate_large.chosen(common.preset, common.plan, common.labels)
    chip = common.chip()
    both = np.concatenate([old, new])
    latents = chip.latents(common.images[both])

    def fill(chip):
        simulate_large.remember(chip, common.preset, latents, common.labels[both], len(old))
        return chip

    return fill


def _same(what: str, expected: list, found: list) -> None:
    if expected != found:
        raise CheckFailure(f"predictions of {what} must be those of the functional simulator")


def _generated(common: Common) -> str:
    from xnoreplay.hw import verilog

    with common.progress.task("Verilog"):
        return verilog.generate(common.plan)


MEASUREMENTS = (
    "help",
    "kernels",
    "fast",
    "step",
    "functional",
    "session",
    "torch",
    "bare",
    "cocotb",
    "amaranth",
    "icarus",
)
NEEDS = {
    "torch": ("pretrain",),
    "bare": ("generate", "cosim"),
    "cocotb": ("generate", "cosim"),
    "amaranth": ("generate",),
    "icarus": ("generate", "cosim"),
}
"""Steps of the flow whose tools a measurement needs."""


def measure(
    preset: Preset,
    bundle: Bundle,
    progress: Progress,
    only: tuple[str, ...] = (),
    epochs: int = 100,
) -> dict:
    """Measure what is asked for, or all that is installed.

    Parameters
    ----------
    preset : Preset
        The design.
    bundle : Bundle
        Its weights.
    progress : Progress
        Receives a line of each figure as soon as it is measured.
    only : tuple of str
        Names of the measurements wanted; all if empty.
    epochs : int
        Of the retraining session.

    Returns
    -------
    dict
        preset; dataset; figures; ratios to bare Verilator and to PyTorch; peak_bytes of this process.

    Raises
    ------
    SpecError
        For an unknown name, and for "torch" with a network that is given latents, which PyTorch has not.
    """  # noqa: DOC501  `unknown` makes a SpecError
    for name in only:
        if name not in MEASUREMENTS:
            raise unknown("measurement", name, MEASUREMENTS)
        tools.require(NEEDS.get(name, ()))
    takes_images = preset.network.takes_images
    if "torch" in only and not takes_images:
        raise SpecError(
            f"measurement 'torch' must be of a network with convolutions, but {preset.network.name} is given latents"
        )
    compiled = plans.compile(preset.network, preset.target)
    learning_plan.check_cycles(plans.compile(preset.network, replace(preset.target, epochs=epochs)))
    images, labels, dataset = samples(preset, progress)
    common = Common(preset, bundle, compiled, images, labels, epochs, progress)
    wanted = only or tuple(
        name
        for name in MEASUREMENTS
        if (name != "icarus" or tools.icarus())
        and (name != "torch" or takes_images)
        and not any(map(tools.missing, NEEDS.get(name, ())))
    )
    text = _generated(common) if {"bare", "cocotb", "icarus"} & set(wanted) else ""
    ways: dict[str, Callable[[], Figure]] = {
        "help": lambda: command_line(common),
        "kernels": lambda: kernels(common),
        "fast": lambda: simulator(common, "fast", FAST_CYCLES),
        "step": lambda: simulator(common, "step", STEP_CYCLES),
        "functional": lambda: functional(common),
        "session": lambda: session(common),
        "torch": lambda: torch_float(common),
        "bare": lambda: bare(common, text),
        "cocotb": lambda: cocotb(common, text, "verilator", COCOTB_CYCLES),
        "amaranth": lambda: amaranth(common),
        "icarus": lambda: cocotb(common, text, "icarus", ICARUS_CYCLES),
    }
    figures = {}
    with progress.task("measurements", len(wanted)) as task:
        for name in wanted:
            figures[name] = ways[name]().plain()
            task.advance(1, name)
            progress.note(row(figures[name]))
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "preset": preset.name,
        "dataset": dataset,
        "figures": figures,
        "ratios": ratios(figures),
        "peak_bytes": peak,
    }


WROTE = files.json_with("preset", "dataset", "figures", "ratios", "peak_bytes")
"""Whether a file is what `xnoreplay bench --json` writes of `run`."""


def ratios(figures: dict) -> dict[str, float]:
    """Return how much faster the simulator is than the other ways to the same result."""
    found = {}
    for name in ("step", "fast"):
        if {name, "bare"} <= figures.keys():
            rate = figures[name]["cycles_per_second"]
            found[f"{name} / bare"] = rate / figures["bare"]["cycles_per_second"]
    if {"functional", "torch"} <= figures.keys():
        rate = figures["functional"]["images_per_second"]
        found["functional / torch"] = rate / figures["torch"]["images_per_second"]
    return found


def samples(preset: Preset, progress: Progress) -> tuple[np.ndarray, np.ndarray, str]:
    """Return training images, chip classes and name of a preset's data set.

    Random images where the user has not said where the data set is, and a note of it: the work is the same.
    """
    data = registry.of_preset_or_random(preset, progress, RANDOM_IMAGES)
    data = registry.first_of_each(data)
    return np.asarray(data.train_images), preset.scenario.chip_classes(data.train_labels), data.name


def row(figure: dict) -> str:
    """Return a figure as a line of the table."""
    f = figure
    cycles = f"{f['cycles_per_second']:,.0f}" if "cycles_per_second" in f else ""
    images = f"{f['images_per_second']:,.1f}" if "images_per_second" in f else ""
    build = "kept" if f.get("build_kept") else f"{f['build']:.1f}"
    return f"| {f['name']} | {cycles} | {images} | {f['cpu']:.2f} | {build} |"


def markdown(result: dict) -> str:
    """Return the figures as a table."""
    lines = [
        "| what | cycles/s | images/s | processor seconds | build, s |",
        "|---|---|---|---|---|",
    ]
    lines += [row(figure) for figure in result["figures"].values()]
    lines += ["", f"images: {result['dataset']}"]
    for name in ("help", "kernels"):
        if found := result["figures"].get(name):
            lines.append(f"{found['name']}: {found['clock']:.2f} s by the clock")
    lines += [f"{name}: {value:,.1f} times" for name, value in result["ratios"].items()]
    if found := result["figures"].get("session"):
        lines.append(
            f"session: {found['minibatches']:,} minibatches of {found['samples']:,} samples in "
            f"{found['epochs']} epochs, {found['clock']:.1f} s by the clock, array busy in "
            f"{100 * found['array_busy']:.1f} % of the cycles"
        )
    lines.append(f"peak memory of this process: {result['peak_bytes'] / 2**20:,.0f} MiB")
    return "\n".join(lines)
