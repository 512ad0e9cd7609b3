"""What every test shares."""

from hypothesis import settings

settings.register_profile("tutti", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("tutti")
