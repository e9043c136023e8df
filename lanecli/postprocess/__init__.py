"""What is done to class probabilities after the network."""
