"""Training of the feature extractor.

Begin with `pretrain` (what a user calls) and `loop` (epochs and minibatches); `recipe` holds the dials, `objective` and
`losses` what is minimised, `teacher` and `teach` distillation, `checkpoint` and `resuming` what makes long runs resume.
"""
