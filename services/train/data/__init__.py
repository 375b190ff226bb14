"""What a training job reads: inputs, batches, targets, and the device that holds them."""
