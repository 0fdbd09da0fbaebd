"""Waveform files: FST and the groups that a viewer shows. Begin with `layout`."""
