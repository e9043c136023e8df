"""Prediction: backends that run a model file, the predictor over them, and the sinks."""
