"""Layers of the network: sign and its gradients, binary convolutions, LGAP, dense layers.

Begin with `network`; `layers` and `binarize` are its parts, `packed` computes the forward pass with packed bits,
`float_rule` has the constants that layers and the floating-point classifier share.
"""
