"""One host's program, for every bus: it knows a driver and nothing of what is behind it."""

from typing import Any

import numpy as np

from xnoreplay.host.bus import HostError
from xnoreplay.host.driver import Driver
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.registers import Register, Response

KEPT = 2  # remembered samples of each class of the base
NEW = 3  # enrolled samples of the new class


def images(driver: Driver, count: int, seed: int = 0) -> np.ndarray:
    """Images of random pixels."""
    shape = driver.plan.network.image_shape
    return np.random.default_rng(seed).integers(0, 17, (count, *shape), np.uint8)


def cut(driver: Driver, picture: np.ndarray) -> None:
    """Leave pixels in front of the chip, of a sample that no command takes and of one that is aborted."""
    entry = driver.plan.input
    sample = entry.transfers(picture).tobytes()
    driver.bus.stream(sample)
    driver.abort()
    driver.write(Register.COMMAND, Command.INFER)
    driver.bus.stream(sample[: -entry.byte_lanes])
    driver.abort()
    assert driver.wait() == set()


def life(driver: Driver, bundle: Bundle) -> dict[str, Any]:
    """From power-on over one learned class to a restored state; all that the host has seen on the way."""
    seen: dict[str, Any] = {}
    pictures = images(driver, 12)
    driver.load(bundle, classes=2)
    seen["remembered"] = [driver.remember(pictures[i], i % 2) for i in range(2 * KEPT)]
    seen["before"] = [driver.classify(x) for x in pictures]
    seen["enrolled"] = [driver.enrol(x, 2) for x in pictures[-NEW:]]
    if not driver.plan.replay.staging:
        driver.announce(3)
    seen["ready"] = [driver.classify(x) for x in pictures]
    saved = driver.save()
    driver.learn()
    seen["learned"] = [driver.classify(x) for x in pictures]
    seen["counters"] = driver.counters()
    seen["low"] = driver.read_memory("cls.low")
    seen["unmapped"] = driver.bus.read(0xFF000000)
    seen["refused"] = driver.bus.write(Command.INFER, 1)  # address 1 is that of ID
    try:
        driver.announce(1)
    except HostError as error:
        seen["sentence"] = str(error)
    driver.restore(saved)
    again = driver.save()
    assert again.registers == saved.registers
    assert all((again.memories[n] == bits).all() for n, bits in saved.memories.items())
    cut(driver, pictures[0])
    seen["restored"] = [driver.classify(x) for x in pictures]
    assert seen["refused"] is Response.SLVERR
    assert seen["unmapped"] == (Response.DECERR, 0)
    assert seen["restored"] == seen["ready"]
    return seen
