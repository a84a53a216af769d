"""ImageExampleGen: raw image folders become splits of tf.Examples, one per image.

What cannot be used is quarantined with its reason, so that found = ingested + quarantined.
"""
