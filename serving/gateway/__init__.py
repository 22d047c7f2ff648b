"""A small web service before a model server: takes a picture, a text or a row, answers labels with scores. No TensorFlow."""
