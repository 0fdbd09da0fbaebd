"""Damaged files for every reader: each is read, or refused in one sentence.

`readers` lists what is read, `edits` damages a good file, `test_readers` does a little of it in every test run, and
``python -m tests.fuzz --minutes 60`` (`make fuzz`) much of it.
"""
