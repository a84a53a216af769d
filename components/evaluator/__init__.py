"""AnomalyEvaluator: scores held-out images through the exported model, reports, and blesses or refuses it."""
