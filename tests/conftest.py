"""Settings of every test: properties are tried on the same examples everywhere, and never timed."""

import hypothesis

hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")
