"""What a model is and how it scores: layers, networks, scoring, calibration.

Trainer, evaluator and the exported SavedModel all use this one implementation.
"""
