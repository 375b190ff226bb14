"""From a film to its parenchyma: skin line, breast, chest wall, muscle, view, and whether it is a mammogram at all."""
