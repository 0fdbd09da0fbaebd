"""A campaign of upsets: places, rates and sessions, computed side by side, and what follows for each memory."""

import dataclasses
from collections import Counter
from pathlib import Path

from xnoreplay.flow.explore import jobs as engine
from xnoreplay.flow.explore.jobs import Job, Sources
from xnoreplay.flow.output.quantities import mean
from xnoreplay.flow.run import code
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.upset import sessions
from xnoreplay.flow.upset.sessions import ALL, HANG, HARMED, ONE, OUTCOMES, SAME
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import limits, presets, snapshot
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import CheckFailure, SpecError, unknown
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import WRONG_BIT
from xnoreplay.spec.upset import places

CODE = ("flow/upset/sessions.py",)
"""Modules that compute the sessions; see `xnoreplay.flow.run.code`."""
RATES = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
"""Probabilities that a bit changes in a session, of a campaign that names none."""
HIGHEST = 0.5
CHUNK = 25  # sessions of a job
FUNCTION = f"{sessions.upsets.__module__}:{sessions.upsets.__name__}"
START, JOBS = "start.safetensors", "jobs"
SHARE = 0.01
"""Of sessions that may end wrong: the rate at which a place comes to it is how much the place bears."""


def checked_rates(texts: tuple[str, ...]) -> tuple[float, ...]:
    """The rates that words name, from the lowest.

    Raises
    ------
    SpecError
        For a word that is no number above 0 and up to `HIGHEST`.
    """
    found = set()
    for text in texts:
        try:
            rate = float(text)
        except ValueError:
            rate = 0.0
        if not 0 < rate <= HIGHEST:
            raise SpecError(f"rate must be a number above 0 and at most {HIGHEST:g}, not {text!r}")
        found.add(rate)
    return tuple(sorted(found)) or RATES


def checked_places(plan: Plan, names: tuple[str, ...]) -> tuple[str, ...]:
    """The places of a campaign, in the order of `spec.upset.places`, `ALL` last; all of them where none is named."""
    known = (*places(plan), ALL)
    for name in names:
        if name not in known:
            raise unknown("memory", name, known)
    return tuple(name for name in known if not names or name in names)


@dataclasses.dataclass(frozen=True)
class Campaign:
    """What is tried.

    Parameters
    ----------
    places : tuple of str
        Keys of `spec.upset.places`, and `ALL`.
    rates : tuple of float
        Probabilities that a bit changes in a session.
    sessions : int
        For each place and rate.
    seed : int
    """

    places: tuple[str, ...]
    rates: tuple[float, ...] = RATES
    sessions: int = 100
    seed: int = 0


def run(
    preset: Preset,
    bundle: Bundle,
    bundle_path: Path,
    campaign: Campaign,
    scratch: Path,
    progress: Progress,
) -> dict:
    """Carry out a campaign.

    Parameters
    ----------
    preset : Preset
        With a scenario of at least one session.
    bundle : Bundle
    bundle_path : Path
        Its file, for the workers.
    campaign : Campaign
    scratch : Path
        Keeps what is done, for a repetition after an interrupt.
    progress : Progress

    Returns
    -------
    dict
        preset, sessions, seed, a_final (without upsets), cycles (of a session), outcomes (their meanings); places: of
        each name, role, bits, one and rates, as `share_of` returns them of sessions with one upset and of each rate, and
        bears, see there.

    Raises
    ------
    SpecError
        For an untrained bundle, or a scenario without a session.
    """
    preset.scenario.check_session()
    limits.count("sessions", campaign.sessions)
    if "dataset" not in bundle.provenance:
        raise SpecError(
            "upsets must be tried on a trained bundle, but this one's provenance names no data set"
        )
    plan = plans.compile(preset.network, preset.target)
    scratch.mkdir(parents=True, exist_ok=True)
    start = scratch / START
    sources = sources_of(bundle_path, scratch)
    with progress.task("the chip before its last session"):
        snapshot.write(plan, sessions.prepared(preset, bundle), start)
    stamp = f"{bundles.digest(bundle)} {code.digest(CODE)}"
    tree = presets.to_dict(preset)
    table = {
        (place, rate): [
            Job(
                FUNCTION,
                {"preset": tree, "place": place, "rate": rate, "seed": campaign.seed} | chunk,
                stamp,
            )
            for chunk in _chunks(campaign.sessions)
        ]
        for place in campaign.places
        for rate in (ONE, *campaign.rates)
    }
    results = engine.compute(
        [job for jobs in table.values() for job in jobs], sources, scratch / JOBS, progress, "upset"
    )
    bench = sessions.bench(tree, sources)
    known = places(plan)
    bits = {name: place.rows * place.bits for name, place in known.items()}
    found = []
    for name in campaign.places:
        rates = [
            share_of([results[j.name] for j in table[name, rate]], rate, bench.a_final)
            for rate in campaign.rates
        ]
        one = share_of([results[j.name] for j in table[name, ONE]], ONE, bench.a_final)
        found.append(
            {
                "name": name,
                "role": known[name].role if name in known else ALL,
                "bits": bits.get(name, sum(bits.values())),
                "one": one,
                "rates": rates,
                "bears": bears(rates),
            }
        )
    return {
        "preset": preset.name,
        "sessions": campaign.sessions,
        "seed": campaign.seed,
        "a_final": bench.a_final,
        "cycles": bench.cycles,
        "images": len(bench.images),
        "outcomes": OUTCOMES,
        "places": found,
    }


def sources_of(bundle: Path, scratch: Path) -> Sources:
    """Where the jobs of a campaign read its bundle, and its snapshot in `scratch`."""
    return Sources(str(bundle), state=str(scratch / START))


def _chunks(count: int) -> list[dict]:
    return [{"first": n, "count": min(CHUNK, count - n)} for n in range(0, count, CHUNK)]


def share_of(results: list[dict], rate: float, a_final: float) -> dict:
    """What the sessions of one place and rate came to.

    Parameters
    ----------
    results : list of dict
        Of `sessions.upsets`.
    rate : float
    a_final : float
        Of the session without upsets, which a session that had none equals.

    Returns
    -------
    dict
        rate, quiet (sessions without an upset), upsets (mean of the others), shares (of all sessions, by outcome), a_final
        (mean over all sessions), harmed (share of all sessions whose outcome is of `sessions.HARMED`), told (of sessions
        with upsets how many ERRORS tells of as `TOLD` says), records (number, upsets, and what `sessions.Bench.judge`
        returns, of each session with upsets).
    """
    quiet = sum(r["quiet"] for r in results)
    records = [s for r in results for s in r["sessions"]]
    every = quiet + len(records)
    counted = Counter(s["outcome"] for s in records)
    counted[SAME] += quiet
    harmed = sum(counted[name] for name in HARMED)
    return {
        "rate": rate,
        "quiet": quiet,
        "upsets": mean([s["upsets"] for s in records]) if records else 0.0,
        "shares": {name: counted[name] / every for name in OUTCOMES},
        "a_final": (quiet * a_final + sum(s["a_final"] for s in records)) / every,
        "harmed": harmed / every,
        "told": told(records),
        "records": records,
    }


TOLD = ("corrected", "wrong", "unnoticed")
"""Sessions of which ERRORS tells that a word was corrected, or was found wrong; and those that are not as without upsets,
though it does not tell of a wrong one."""


def told(records: list[dict]) -> dict[str, int]:
    """How many of these sessions with upsets are each of `TOLD`; the first two may be the same session."""
    corrected = (1 << WRONG_BIT) - 1
    found = dict.fromkeys(TOLD, 0)
    for record in records:
        wrong = record["errors"] > corrected
        found["corrected"] += bool(record["errors"] & corrected)
        found["wrong"] += wrong
        found["unnoticed"] += record["outcome"] != SAME and not wrong
    return found


def bears(rates: list[dict]) -> float | None:
    """The highest rate, of those tried from the lowest on, up to which at most `SHARE` of sessions are harmed.

    None where the lowest harms more.
    """
    best = None
    for found in rates:
        if found["harmed"] > SHARE:
            break
        best = found["rate"]
    return best


def check(result: dict) -> None:
    """Hold a campaign to what the chip promises: no upset makes a command longer than the plan's watchdog allows.

    Raises
    ------
    CheckFailure
        Where a session hung.
    """
    if found := hung(result):
        place, rate, number = found[0]
        raise CheckFailure(
            f"no upset may hang the chip, but session {number} with {place} at rate {rate:g} did, and {len(found) - 1} more",
            {"hung": found},
        )


def hung(result: dict) -> list[tuple[str, float, int]]:
    """Place, rate and number of each session in which a command hung."""
    return [
        (place["name"], rate["rate"], record["number"])
        for place in result["places"]
        for rate in (place["one"], *place["rates"])
        for record in rate["records"]
        if record["outcome"] == HANG
    ]
