"""Measures of detection and of generation, and the plain baselines that a trained model has to beat."""
