"""The four services. None imports another: they meet in the queue and in the object store."""

import os

# ONNX Runtime's wheels report their use to their maker unless this is set before the first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
