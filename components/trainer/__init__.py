"""ProgressiveTrainer: generator, discriminator and encoder grow together, resolution by resolution.

Images seen is the only clock; a run goes on from any of its checkpoints as if it had never stopped.
"""
