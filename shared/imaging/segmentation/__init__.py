"""Segmentation of the parenchyma, with view, orientation and the mammogram gate."""
