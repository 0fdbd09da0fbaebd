"""The commands of the command line, and the options that they share.

Begin with `options`; `steps`, `costs`, `experiments` and `data` are groups of commands, `doctor` looks for tools,
`waveforms` records what `cosim --waves` asks for, `specfile` writes a spec.
"""
