"""Settings of all tests: quiet libraries, few examples, no clock for hypothesis on a busy machine."""

import signal

from hypothesis import settings

from proganomaly.pipeline.quiet import silence_libraries

silence_libraries()
# A shell starts its background jobs with SIGINT ignored; some tests send it to themselves and to children.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("proganomaly", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("proganomaly")
