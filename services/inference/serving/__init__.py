"""From an image to what the promoted network says of it: the model that is kept loaded, its engines, and heat maps."""
