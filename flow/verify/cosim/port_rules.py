"""Signals of the host port, and the rules of AXI that they keep whatever the chip does."""

from collections import Counter

INPUTS = (
    "awvalid",
    "awaddr",
    "wvalid",
    "wdata",
    "wstrb",
    "bready",
    "arvalid",
    "araddr",
    "rready",
    "tvalid",
    "tdata",
)
OUTPUTS = (
    "awready",
    "wready",
    "bvalid",
    "bresp",
    "arready",
    "rvalid",
    "rdata",
    "rresp",
    "tready",
    "phase",
    "busy",
)
SIGNALS = INPUTS + OUTPUTS
PAYLOAD = {
    "awaddr": "awvalid",
    "wdata": "wvalid",
    "wstrb": "wvalid",
    "araddr": "arvalid",
    "tdata": "tvalid",
    "bresp": "bvalid",
    "rdata": "rvalid",
    "rresp": "rvalid",
}
"""Signals that mean something only beside a valid."""

RESPONSES = (("bvalid", "bready", ("bresp",)), ("rvalid", "rready", ("rdata", "rresp")))
"""Of each channel of responses its valid, its ready, and what must be stable."""


class Rules:
    """Rules of AXI4-Lite and AXI-Stream, which hold of any slave whatever its latency."""

    def __init__(self) -> None:
        self.before: dict | None = None
        self.taken = Counter[str]()
        self.answered = Counter[str]()

    def broken(self, now: dict) -> tuple[str, str, str] | None:
        """(signal, what must be, what is) of the first rule that a cycle breaks."""
        for name in OUTPUTS:
            if now[name] is None and (name not in PAYLOAD or now[PAYLOAD[name]]):
                return name, "known", "unknown"
        if changed := self._changed(now):
            return changed
        asked = {
            "b": min(self.taken["aw"], self.taken["w"]),
            "r": self.taken["ar"],
        }
        for channel, requests in asked.items():
            if now[f"{channel}valid"] and self.answered[channel] >= requests:
                return f"{channel}valid", "low: every request was answered", "high"
        for channel in ("aw", "w", "ar"):
            self.taken[channel] += bool(now[f"{channel}valid"] and now[f"{channel}ready"])
        for channel in ("b", "r"):
            self.answered[channel] += bool(now[f"{channel}valid"] and now[f"{channel}ready"])
        self.before = now
        return None

    def _changed(self, now: dict) -> tuple[str, str, str] | None:
        """The first response that a cycle drops or changes, although the master has not taken it."""
        before = self.before
        for valid, ready, payload in RESPONSES:
            if not before or not before[valid] or before[ready]:
                continue
            if not now[valid]:
                return valid, f"held until {ready.upper()}", "dropped"
            for name in payload:
                if now[name] != before[name]:
                    want = f"stable at {before[name]:#x} until {ready.upper()}"
                    return name, want, f"{now[name]:#x}"
        return None

    def unanswered(self) -> tuple[str, str, str] | None:
        """(signal, what must be, what is) of the first channel with requests that were never answered; None without.

        Called once, after the last cycle of the record has been given to `broken`.
        """
        for channel, requests in (("b", ("aw", "w")), ("r", ("ar",))):
            for request in requests:
                if self.taken[request] != self.answered[channel]:
                    return (
                        f"{channel}valid",
                        f"one response each of {self.taken[request]} requests",
                        str(self.answered[channel]),
                    )
        return None


def expand(rows: list[list]) -> list[dict]:
    """Recorded rows, [how many cycles, values of `SIGNALS`], as one dict a cycle."""
    found: list[dict] = []
    for count, *values in rows:
        found += [dict(zip(SIGNALS, values, strict=True))] * count
    return found
