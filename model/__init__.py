"""Training in PyTorch: the network, its recipe, and the export of its bits.

Begin with `network.network`, then `training.pretrain`. `export` writes the bundle that every other layer reads.
`float_classifier` is the classifier in floating point, for comparison with the chip's integers; `metrics` scores
sessions and needs no PyTorch.
"""
