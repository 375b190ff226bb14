#!/bin/sh
# Prints what each image adds to the base image, in MB, and what it may add. Exits with 1 if one is larger.
set -eu
base=${PYTHON_IMAGE:-python:3.11-slim-bookworm} tag=${MAMMOSTACK_VERSION:-dev} status=0

size() { docker image inspect --format '{{.Size}}' "$1"; }

below=$(size "$base")
while read -r name limit; do
  added=$((($(size "mammostack/$name:$tag") - below) / 1000000))
  [ "$added" -le "$limit" ] || status=1
  printf '%-18s %5d MB over the base image, at most %d\n' "$name" "$added" "$limit"
done <<LIMITS
augment 300
segment 300
inference 450
inference-worker 450
train 1700
LIMITS
exit $status
