"""What every test shares: how long hypothesis searches. `SWITCHYARD_HYPOTHESIS=fuzz` searches long; the default is bounded and the same each time."""

import os

from hypothesis import settings

settings.register_profile("bounded", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, max_examples=5_000)
settings.load_profile(os.environ.get("SWITCHYARD_HYPOTHESIS", "bounded"))
