"""The pipeline as a whole: its tree of settings, its joined components, its local runner, its commands."""
