"""What a run compared, from the results of its steps, in one form."""

AMOUNTS = ("images", "outputs", "memory_bits", "counters", "phases", "cycles", "events")
COSIM_AMOUNTS = {
    "images": "images.in_full",
    "outputs": "predictions",
    "memory_bits": "memory.bits",
    "counters": "wire counters",
    "phases": "boundaries",
    "cycles": "cycles",
    "events": "replay.events",
}
SIMULATORS = ("verilator", "icarus")


def comparisons(results: dict[str, dict]) -> list[dict]:
    """What was compared, a row each: ``step``, ``what``, ``equal``, and how many of each of `AMOUNTS`."""
    rows = []
    if golden := results.get("export", {}).get("golden"):
        rows.append(
            {
                "step": "export",
                "what": "reference = exporting program, golden pairs",
                "images": golden["images"],
                "memory_bits": golden["latent_bits"],
                "outputs": golden["logits"],
                "equal": True,
            }
        )
    for row in results.get("simulate", {}).get("equality", []):
        rows.append({"step": "simulate", **row})
    design = "netlist" if "netlist" in results.get("cosim", {}) else "RTL"
    for name in SIMULATORS:
        if session := results.get("cosim", {}).get(name):
            compared = session["compared"]
            counted = {k: compared[v] for k, v in COSIM_AMOUNTS.items() if v in compared}
            what = f"{design} in {name.capitalize()} = simulator, {compared['commands']:,} commands"
            rows.append({"step": "cosim", "what": what, "equal": True, **counted})
    return rows


def speeds(results: dict[str, dict]) -> dict[str, float]:
    """Modelled cycles a second, by the name of what simulated them."""
    simulated = results.get("simulate", {}).get("speed", {})
    named = {f"simulator, {mode} mode": rate for mode, rate in simulated.items()}
    for name in SIMULATORS:
        if session := results.get("cosim", {}).get(name):
            named[f"{name.capitalize()}, comparing"] = session["cycles_per_second"]
    if bare := results.get("cosim", {}).get("bare"):
        named["Verilator, bare"] = bare["cycles_per_second"]
    return named
