"""Input of a training job: inputs, batches, targets, and the device that holds them."""
