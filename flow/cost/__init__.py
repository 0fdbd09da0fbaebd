"""What a run costs: cycles, bits, joules, area.

Begin with `workload` (counted events) and `estimate` (events times costs); `corrected` adds wires, glitches and what
published chips take beyond the count, `session_cost` prices whole sessions, `memory_map` lists the memories,
`replay_variants` prices other ways of replay. `chips` predicts published chips, `validate` shows how far off that is,
`tornado` which assumption moves an estimate most.
"""
