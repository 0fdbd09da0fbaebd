"""What is asked of the test bench of many mutants; see `mutants`."""

from typing import NamedTuple

SELECT = "mutant"
"""Input of every module whose value chooses the mutant; 0 chooses none."""
PIPE, ENDED = "requests", "ended"  # a pipe in the test bench's folder; a file in that of a request


class Request(NamedTuple):
    """One mutant to be simulated.

    Parameters
    ----------
    number : int
        Of the mutant, 0 for none.
    script : str
        Folder of what `session.write` wrote.
    folder : str
        For what is seen; `ENDED` in it says that the copy has ended, and `stop` asks that it end.
    clocks : int
        After so many the mutant is given up; 0 for never.
    """

    number: int
    script: str
    folder: str
    clocks: int
