"""One process of the HDL simulator that serves many mutants, and the comparison of each with the model."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xnoreplay.flow.run import processes
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.flow.verify.cosim import runners, session
from xnoreplay.flow.verify.cosim.bench.requests import ENDED, PIPE, Request
from xnoreplay.flow.verify.cosim.script import VARIABLE, Script
from xnoreplay.flow.verify.cosim.session import Outcome, Setup
from xnoreplay.spec.errors import ToolError

BENCH = "xnoreplay.flow.verify.cosim.bench.mutants"


class Server:
    """A simulator with the design of all mutants loaded, which begins a copy of itself for each.

    Parameters
    ----------
    setup : Setup
        Its simulator is Verilator.
    folder : Path
        For the files of both; it must not be there yet.
    """

    def __init__(self, setup: Setup, folder: Path) -> None:
        self.setup, self.folder = setup, folder
        self.scripts: dict[str, Script] = {}
        folder.mkdir(parents=True)
        os.mkfifo(folder / PIPE)
        # For reading, too, so that to open it does not wait for the simulator.
        self.pipe = os.open(folder / PIPE, os.O_RDWR)
        self.began: list = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        with (self.folder / "bench.log").open("a", encoding="utf-8") as log:
            try:
                runners.runner("verilator", self.began.append).test(
                    test_module=BENCH,
                    hdl_toplevel=TOP,
                    hdl_toplevel_lang="verilog",
                    build_dir=self.setup.build,
                    test_dir=self.folder,
                    results_xml=str(self.folder / "results.xml"),
                    log_file=self.folder / "bench.log",
                    extra_env=session.ENVIRONMENT | {VARIABLE: str(self.folder)},
                )
            except (SystemExit, OSError, RuntimeError) as error:
                print(f"{session.ENDED} with {error}", file=log)

    def close(self) -> None:
        """End the simulator, and remove its files."""
        os.close(self.pipe)
        processes.end(*self.began)
        self.thread.join()
        shutil.rmtree(self.folder)

    def add(self, name: str, script: Script) -> None:
        """Write a script for the test bench, so that `compare` can be asked for it by name."""
        folder = self.folder / name
        folder.mkdir()
        session.write(self.setup, script, folder)
        self.scripts[name] = script

    def compare(self, number: int, name: str, clocks: int = 0) -> tuple[Outcome, bool]:
        """Carry out a script with one mutant, and compare up to the first command that differs.

        Parameters
        ----------
        number : int
            Of the mutant, 0 for the design itself.
        name : str
            Of the script.
        clocks : int
            After which the mutant is given up; 0 for never.

        Returns
        -------
        outcome : Outcome
        ended : bool
            Whether the test bench came to its end; where it did not, and nothing differed, the simulation stopped.

        Raises
        ------
        CheckFailure
            Where the mutant does not answer on the bus, or not in time.
        ToolError
            Where the simulator itself has ended.
        """  # noqa: DOC502  raised by `session.follow`
        with self._lines(number, name, clocks) as lines:
            outcome, ended = session.follow(self.setup, self.scripts[name], lines, "", Silent())
        return outcome, ended is not None

    @contextmanager
    def _lines(self, number: int, name: str, clocks: int) -> Iterator[Iterator[dict]]:
        """Ask for a copy, yield the lines that it writes, and have it end."""
        folder = self.folder / f"mutant-{number}"
        folder.mkdir()
        request = Request(number, str(self.folder / name), str(folder), clocks)
        os.write(self.pipe, json.dumps(request._asdict()).encode() + b"\n")

        def running() -> bool:
            if not self.thread.is_alive():
                raise ToolError(
                    f"the simulator must serve all mutants, but: {session.last_error(self.folder)}"
                )
            return not (folder / ENDED).exists()

        try:
            yield session.observations(folder / "observed.jsonl", running)
        finally:
            (folder / "stop").touch()
            while self.thread.is_alive() and not (folder / ENDED).exists():
                self.thread.join(session.POLL)
            shutil.rmtree(folder)
