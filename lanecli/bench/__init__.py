"""What is measured: a model and the whole video path, training, and every architecture."""
