"""The inference service: mammograms in over HTTP, class probabilities out.

`serving` runs the network (ONNX Runtime, no torch) and keeps the promoted version loaded, `admission` authorises and
queues requests, `api` implements the HTTP APIs, and `app` assembles the application.
"""
