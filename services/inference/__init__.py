"""The inference service: a mammogram in over HTTP, class probabilities of the promoted model out.

`serving` runs the network (ONNX Runtime, no torch) and keeps the promoted version loaded, `admission` lets requests in,
`api` speaks HTTP, and `app` puts them together.
"""
