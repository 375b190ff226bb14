"""Decoding, breast segmentation, preprocessing: one code for training and serving. Pure: bytes and arrays only."""
