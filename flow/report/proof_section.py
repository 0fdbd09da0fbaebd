"""The section of the report on what is proved."""

from xnoreplay.flow.report.blocks import Section
from xnoreplay.flow.verify.prove import text
from xnoreplay.flow.verify.prove.run import BOUNDED, PROVED


def proof(results: dict[str, dict], failures: dict[str, str]) -> Section:
    """Show the properties of the Verilog that hold for all inputs, and how each was decided."""
    section = Section("proof", "Proof")
    if "prove" not in results:
        section.absent("prove", failures)
        return section
    result = results["prove"]
    section.text(f"{text.headline(result)}.")
    section.table(
        ["property", "what holds", "units", "method", "status", "reached after", "seconds"],
        text.table(result),
        ["", "", "", "", "", "n", "n"],
        folded="Properties",
    )
    for status in (PROVED, BOUNDED):
        count = sum(row["status"] == status for row in result["properties"])
        section.metric(f"proof.{status}", count, "properties", "higher", "counted")
    return section
