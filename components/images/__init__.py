"""Images as such: bytes to pixels (the one definition), geometry, cheap statistics, synthetic defects."""
