"""One code for training and serving: decoding, breast segmentation, preprocessing. Pure: bytes and arrays only."""
