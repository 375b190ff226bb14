"""From image to prediction: loaded model, engines, heat maps."""
