"""The HTTP APIs, one module each: `predictions` (ours), `open_inference` (Open Inference Protocol v2), `kserve_v1`
(KServe V1), `probes` (health and metrics); and `problems`, how each of them says that something is wrong."""
