"""Networks, weights, recipes and metrics.

Pure: no store, no queue. Only `networks` and `weights` import torch.
"""
