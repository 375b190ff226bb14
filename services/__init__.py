"""The services. None imports another: they meet in the queue and in the object store."""

import os

# ONNX Runtime's wheels report their use to their maker unless this is set before the first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Services share their cores: a thread of OpenMP that waits for its next piece of work must sleep. Spinning, two
# processes on two cores slow each other down many times over. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
