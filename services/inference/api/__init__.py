"""HTTP APIs, one module per protocol or resource.

`predictions`, `exams`, `batches` and `api_keys` are Mammostack's own API, `open_inference` the Open Inference Protocol
v2, `kserve_v1` KServe V1, `probes` health and metrics; `problems` formats the errors of all of them.
"""
