"""The section of the report on the mutation score."""

from xnoreplay.flow.report.blocks import Section
from xnoreplay.flow.verify.mutation import text
from xnoreplay.flow.verify.mutation.score import EQUIVALENT, KILLED, SURVIVED


def mutation(results: dict[str, dict], failures: dict[str, str]) -> Section:
    """Show how many small faults of the Verilog the co-simulation notices, and which it does not."""
    section = Section("mutation", "Mutation score")
    if "mutate" not in results:
        section.absent("mutate", failures)
        return section
    result = results["mutate"]
    section.text(f"{text.headline(result)}. Seed of the draw: {result['seed']}.")
    section.table(["mutants", "first shown by"], text.reasons(result), ["n", ""])
    section.table(
        ["kind", "drawn", "killed", "equivalent", "what it is"],
        text.kinds(result),
        ["", "n", "n", "n", ""],
        folded="Kinds of mutants",
    )
    if result["survivors"]:
        section.heading("Surviving mutants")
        section.preformatted("\n".join(result["survivors"]))
    section.metric("mutation.score", result["score"], "fraction", "higher", "counted")
    for name in (KILLED, EQUIVALENT):
        section.metric(f"mutation.{name}", result[name], "mutants", "higher", "counted")
    section.metric(f"mutation.{SURVIVED}", result[SURVIVED], "mutants", "lower", "counted")
    return section
