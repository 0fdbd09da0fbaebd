"""What a stage on the host port may do, as a script says it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """What may be done in a stage on the host port; `bench.hostport` does it, and `protocol` judges it.

    Parameters
    ----------
    cycles : int
        Cycles in which the chip is busy, in all; a command that waits fills what the stage leaves.
    seed : int
        Of what is drawn.
    infers : bool
        Whole inferences are part of it; there must be classes.
    commands : bool
        Every other command is part of it, too: the chip learns.
    brief : bool
        Few rows and registers, for a large chip or a slow simulator.
    transfers : int
        About how many random transfers are made.
    """

    cycles: int
    seed: int = 0
    infers: bool = False
    commands: bool = False
    brief: bool = False
    transfers: int = 200
