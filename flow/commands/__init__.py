"""Commands beside the steps of a run, and the options that commands share.

Begin with `options`; `costs`, `experiments` and `waveforms` are groups of commands, `doctor` looks for tools,
`specfile` writes a spec.
"""
