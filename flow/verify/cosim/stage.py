"""What a stage on the host port may do, as a script says it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stage on the host port; see `hostport` and `protocol`.

    cycles : in which the chip is busy, in all; a command that waits fills what the stage leaves
    seed : of what is drawn
    infers : whole inferences are part of it; there must be classes
    commands : every other command is too: the chip learns
    brief : few rows and registers, for a large chip or a slow simulator
    transfers : random ones, about
    """

    cycles: int
    seed: int = 0
    infers: bool = False
    commands: bool = False
    brief: bool = False
    transfers: int = 200
