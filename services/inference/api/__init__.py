"""The HTTP APIs, one module each: `native` (ours), `oip` (Open Inference Protocol v2), `kserve` (KServe V1), `probes`
(health and metrics); and `problems`, how each of them says that something is wrong."""
