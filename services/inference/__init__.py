"""The inference service: a mammogram in over HTTP, class probabilities of the promoted model out.

`engine` runs the network (ONNX Runtime, no torch), `models` keeps the promoted version loaded, `app` is the HTTP shell.
"""
