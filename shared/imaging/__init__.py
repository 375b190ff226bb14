"""Image processing shared by training and serving: decode, segment, preprocess.

Pure: bytes and arrays only.
"""
