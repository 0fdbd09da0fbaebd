"""The fast mode: a whole phase at once, with the cycles and counters that the plan's closed forms give.

Begin with `images`; `session` is a retraining, `replay` the replay memory's commands, `arithmetic` the sums and
roundings that sessions need.
"""
