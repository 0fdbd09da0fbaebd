"""Class-incremental learning: sessions, their scores, and comparison with published figures.

Begin with `cil`, which runs the sessions of a scenario; `systems` and `trials` compare ways of learning, `dials` measures
accuracy at each value of each dial, `predictions` writes every prediction, `pretrain` trains the extractor;
`ageing` exchanges an extractor for a newer one.
"""
