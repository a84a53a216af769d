"""Record formats, one module for each: tf.Examples of images, pyramid records, pyramid folders."""
