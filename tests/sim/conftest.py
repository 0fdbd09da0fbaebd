"""Profiles of the property tests: fewer examples where kernels run as plain Python."""

import os

from hypothesis import HealthCheck, settings

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"

settings.register_profile(
    "sim",
    derandomize=True,
    deadline=None,
    max_examples=4 if INTERPRETED else 60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("sim")
