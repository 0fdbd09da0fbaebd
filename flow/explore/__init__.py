"""Many designs of a preset, and the fronts that no other design beats.

Begin with `search`; `space` makes the designs, `jobs` computes them side by side, `fronts` chooses, `pictures` and
`text` show.
"""
