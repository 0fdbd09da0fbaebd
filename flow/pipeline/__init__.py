"""The steps of a run, and the settings that they depend on.

Begin with `settings`, where each option of a command is one field, then `steps`. `options` says how a field declares
an option, `resolve` joins what a user chose with what the run folder remembers.
"""
