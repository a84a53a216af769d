"""PyramidTransform: tf.Examples become TFRecords of every resolution, bit-exact with the original's tool.

The transform graph that defines an image travels on to the model.
"""
