"""Settings of all tests: quiet libraries, few examples, no clock for hypothesis on a busy machine."""

from hypothesis import settings

from proganomaly.pipeline.quiet import silence_libraries

silence_libraries()
settings.register_profile("proganomaly", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("proganomaly")
