"""What all layers agree on: network, target, plan, the meaning of every bit, and the host's registers.

Standard library and NumPy only. Begin with `network` and `target` (what a user chooses), then `reference` (what one
image and one minibatch mean, in plain integers), `learning` and `replay` (the learning rule) and `plan` (when each
memory is read and written). `memories` and `registers` list what the chip holds and what a host sees; `bundle` and
`snapshot` are files. `presets` has the four networks that are shipped.
"""
