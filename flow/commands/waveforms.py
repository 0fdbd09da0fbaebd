"""The waveform that `cosim --waves` adds to the folder of a comparison."""

from pathlib import Path

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.datasets.bundles import BUNDLE
from xnoreplay.flow.pipeline.settings import Settings
from xnoreplay.flow.run import locks
from xnoreplay.flow.run.progress import Progress, Silent
from xnoreplay.flow.verify.cosim import waveforms, window
from xnoreplay.flow.verify.cosim.chip import opened, read_verilog
from xnoreplay.flow.verify.cosim.step import script_of
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans


class Recording:
    """A window of the script that a run folder's comparison carries out, as a waveform.

    Parameters
    ----------
    folder : Path
        Run folder whose steps export and generate are up to date.
    settings : Settings
        Of the run.
    text : str
        The window, as `window.parse` reads it.
    progress : Progress
        Shows how far the script is.

    Raises
    ------
    SpecError
        Where the script has no such window, or the window is too long: for the Verilog that is recorded; of a
        netlist, which is longer, only `write` can say.
    """

    def __init__(self, folder: Path, settings: Settings, text: str, progress: Progress) -> None:
        self.folder, self.settings, self.text, self.progress = folder, settings, text, progress
        waveforms.check_simulator(settings.simulator)
        self.bundle = bundles.read(folder / "export" / BUNDLE)
        preset = settings.preset
        with progress.task("images and commands of the script"):
            images = registry.of_preset_or_random(
                preset, Silent()
            )  # the comparison says what they are
            self.script = script_of(
                preset, self.bundle, images, settings.images, waveforms.SIMULATOR
            )
        plan = plans.compile(preset.network, preset.target)
        self.spans = window.spans(plan, self.bundle, self.script, progress)
        self.source = settings.verilog or folder / "generate"
        waveforms.check_room(
            read_verilog(self.source, settings.trust), *window.resolve(text, self.spans)
        )

    def write(self) -> dict:
        """Carry the script out up to the window, and write the waveform as `cosim.waveforms.write`."""
        settings = self.settings
        with (
            locks.locked(self.folder),
            locks.interruptible(),
            opened(
                settings.preset,
                self.bundle,
                self.source,
                self.progress,
                faults=settings.faults,
                netlist=settings.netlist,
                liberty=settings.liberty,
                trust=settings.trust,
            ) as bench,
        ):
            target = self.folder / "cosim" / waveforms.FOLDER
            return waveforms.write(bench, self.script, self.text, self.spans, target)
