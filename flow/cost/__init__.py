"""What a run costs: cycles, bits, joules, area.

Begin with `workload` (counted events) and `estimate` (events times costs); `session_cost` prices whole sessions,
`memory_map` lists the memories, `replay_variants` prices other ways of replay, `validate` holds it against published
chips.
"""
