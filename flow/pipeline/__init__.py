"""The steps of a run, in order, and which settings they depend on. Begin with `steps`."""
