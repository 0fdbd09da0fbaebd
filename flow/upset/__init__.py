"""Soft errors: what bits that change by themselves do to a session, and how much each memory needs protection.

Begin with `campaign`; `sessions` carries out the sessions of one job, `replayed` shows some of them to the Verilog,
`pictures` and `text` show what came out.
"""
