"""Properties of the update: a proxy saturates and never wraps."""

from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.spec.plan import Plan

UNIT = "learning.update_unit"
PROXY = "theta"
"""Register of a column's proxy in the unit."""


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's update; of one proxy a pair, whose draws do not differ by copy."""
    from xnoreplay.hw.learning.planes import sum_bits

    rule, shift = plan.rule, plan.rule.update_shift
    if rule.proxies_per_pair != 1 or shift <= 0:
        return []
    bits, columns = rule.proxy_bits, plan.target.segment
    wide = sum_bits(plan)
    least, greatest = -(1 << bits - 1), (1 << bits - 1) - 1
    lines = [f"  reg [{shift - 1}:0] draw;", "  reg calm;"]
    holds = []
    taken = [f"draw <= @{UNIT}.random[{shift - 1}:0];", "calm <= ~rst & ~@learning.abort;"]
    for k in range(columns):
        lines += [
            f"  reg signed [31:0] gradient{k};",
            f"  wire signed [31:0] proxy{k} = $signed(@{UNIT}.{PROXY}#{k});",
            f"  wire signed [31:0] moved{k} = proxy{k} - ((gradient{k} + $signed({{1'b0, draw}})) >>> {shift});",
            f"  wire signed [31:0] new{k} = moved{k} < {least} ? {least} : moved{k} > {greatest} ? {greatest} : moved{k};",
        ]
        taken += [
            f"gradient{k} <= $signed(@{UNIT}.summed[{(k + 1) * wide - 1}:{k * wide}]);",
        ]
        holds.append(f"@{UNIT}.stepped#{k} == (new{k} + {1 << bits - 1})")
    text = "\n".join([*lines, "  always @(posedge clk) begin", *taken, "  end"])
    return [
        Property(
            "update.saturates",
            "In every column a proxy becomes itself less its rounded gradient, held at the ends of its range: it never wraps.",
            Statement("calm & ~rst", " & ".join(holds), text, keep=(UNIT,)),
            Method.INDUCTION,
            (
                Fault(UNIT, "stepped#0", "@ == 8'hff ? 8'hfe : @"),
                Fault(UNIT, "stepped#1", "@ == 8'h00 ? 8'hff : @"),
            ),
        )
    ]
