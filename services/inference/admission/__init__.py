"""What comes before a prediction: who may ask, how much is received, and which requests work or wait."""
