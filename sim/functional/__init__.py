"""Predictions and latents of whole data sets, without cycles or counters.

Begin with `data_sets`; `kernels` takes eight images at a time.
"""
