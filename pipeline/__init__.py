"""The pipeline as a whole: its tree of settings, its components joined, its local runner, its command line."""
