"""Costs measured from a Liberty file or from CACTI. Begin with `characterize`."""
