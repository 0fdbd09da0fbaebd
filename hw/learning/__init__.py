"""The way of a minibatch: logits forward, errors, gradients, update of the classifier.

Begin with `unit`, which holds the others; `forward` and `error` (logits to errors), `planes` and `backprop` (errors to
gradients), `balance` (class weights), `update` (gradients to proxies and weights). `classifier` is the memory that
they change.
"""
