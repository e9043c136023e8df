"""Prediction: backends run a model file, the predictor turns frames into Predictions, and sinks write them."""
