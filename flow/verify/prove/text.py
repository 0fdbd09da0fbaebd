"""A proof as text."""

from xnoreplay.flow.verify.prove.run import BOUNDED, PROVED


def headline(result: dict) -> str:
    """Say how many properties hold, and how far."""
    rows = result["properties"]
    proved = sum(row["status"] == PROVED for row in rows)
    bounded = sum(row["status"] == BOUNDED for row in rows)
    parts = [f"{proved} of {len(rows)} properties hold in every cycle"]
    if bounded:
        parts.append(f"{bounded} within a bound")
    if planted := result["planted"]:
        parts.append(
            f"{sum(row['found'] for row in planted)} of {len(planted)} planted faults are found"
        )
    if modules := result["modules"]:
        parts.append(
            f"{sum(row['equal'] for row in modules)} of {len(modules)} modules equal their netlist"
        )
    return "; ".join(parts)


def how(row: dict) -> str:
    """Say how a property was decided."""
    if row["status"] == BOUNDED:
        return f"bounded, {row['cycles']} cycles"
    return row["method"]


def table(result: dict) -> list[list[str]]:
    """Return a row for each property: name, sentence, units, how, status, cycles to its precondition, seconds."""
    return [
        [
            row["name"],
            row["sentence"],
            ", ".join(row["units"]),
            how(row),
            row["status"],
            str(row.get("reached") or "-"),
            f"{row['seconds']:.1f}",
        ]
        for row in result["properties"]
    ]


def text(result: dict) -> str:
    """Return the headline and a line for each property, fault and module."""
    width = max((len(row["name"]) for row in result["properties"]), default=0)
    lines = [headline(result), ""]
    for row in result["properties"]:
        lines.append(
            f"{row['name']:{width}}  {row['status']:8}  {how(row):20}  {row['seconds']:6.1f} s"
        )
    for row in result["planted"]:
        fault = row["fault"]
        what = f"{fault['unit'] or 'top'}.{fault['signal']} = {fault['value']}"
        found = f"found after {row['cycles']} cycles" if row["found"] else "NOT FOUND"
        lines.append(f"{row['name']:{width}}  fault {what}: {found}")
    for row in result["modules"]:
        equal = "equal" if row["equal"] else f"{row['unproved']} pairs not proved equal"
        lines.append(f"module {row['name']}: {equal}, {row['pairs']} pairs, {row['seconds']:.1f} s")
    return "\n".join(lines)
