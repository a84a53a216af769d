"""The steps of the pipeline and the plain libraries beneath them.

Steps (`image_example_gen`, `pyramid`, `trainer`, `evaluator`) never import each other; libraries (`images`,
`records`, `model`, `metrics`) never import TFX or Beam. import-linter holds both.
"""
