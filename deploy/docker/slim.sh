#!/bin/sh
# Takes out of an environment what nothing of ours can reach: slim.sh ENVIRONMENT. That is a third of its size;
# tests/e2e/test_containers.py runs what is left.
set -eu
packages=$(echo "$1"/lib/python3.*/site-packages)

# Symbols that only a debugger reads. Not in the libraries that wheels bring along (*.libs): they were edited when the wheel
# was made, and strip would break them.
find "$packages" -type f -name '*.so' ! -path '*.libs/*' -exec strip --strip-unneeded {} +

# The tests of packages, with their data.
find "$packages" -type d -name tests -prune -exec rm -rf {} +

# What only a compiler, a type checker or a builder of packages reads; medical vocabularies of reports; an image format and
# fonts, which nothing of ours reads or draws.
find "$packages" -type f \( -name '*.a' -o -name '*.h' -o -name '*.hpp' -o -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' \) -delete
rm -rf "$packages"/numpy/distutils "$packages"/pydicom/data/test_files \
  "$packages"/PIL/_avif*.so "$packages"/pillow.libs/libavif*
[ -d "$packages/highdicom" ] || rm -rf "$packages"/pydicom/sr  # of which the gateway's reports are made

# What boto3 knows of the services of AWS, but for S3 and how one signs in there.
if [ -d "$packages/botocore/data" ]; then
  find "$packages/botocore/data" -mindepth 1 -maxdepth 1 -type d \
    ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -rf {} +
fi

# Codecs of imagecodecs that shared/imaging does not use (it imports each when it is first asked for), and their libraries.
if [ -d "$packages/imagecodecs" ]; then
  find "$packages/imagecodecs" -name '_*.abi3.so' ! -name '_imcd.*' ! -name '_shared*' ! -name '_jpeg8.*' \
    ! -name '_jpegls.*' ! -name '_jpeg2k.*' ! -name '_htj2k.*' ! -name '_ljpeg.*' ! -name '_png.*' ! -name '_tiff.*' -delete
  needed=$(ldd "$packages"/imagecodecs/*.so | awk '/imagecodecs.libs/ { print $3 }' | xargs -n 1 basename | sort -u)
  for library in "$packages"/imagecodecs.libs/*; do
    echo "$needed" | grep -q -x -F "$(basename "$library")" || rm "$library"
  done
fi

# Languages that pygments could colour; rich, which brings it, colours none of ours.
find "$packages/pygments/lexers" -name '*.py*' ! -name '__init__*' ! -name '_mapping*' ! -name 'special*' ! -name 'python*' \
  -delete 2>/dev/null || true

# Of OpenVINO what is for GPUs, NPUs, several devices and formats other than ONNX, and what reports its use.
if [ -d "$packages/openvino" ]; then
  for format in gguf jax paddle pytorch tensorflow tensorflow_lite; do
    rm -rf "$packages/openvino/libs/libopenvino_${format}_frontend.so"* "$packages/openvino/frontend/$format"
  done
  for plugin in auto auto_batch hetero intel_gpu intel_npu; do
    rm -f "$packages/openvino/libs/libopenvino_${plugin}_plugin.so"
  done
  rm -rf "$packages"/openvino/libs/cache.json "$packages"/openvino/torch "$packages"/openvino_telemetry
fi

# ONNX Runtime for programs in C: Python's module holds it once more. And its converters, but for the training worker.
rm -f "$packages"/onnxruntime/capi/libonnxruntime.so.*
if [ ! -d "$packages/onnx" ]; then
  rm -rf "$packages"/onnxruntime/transformers "$packages"/onnxruntime/tools "$packages"/onnxruntime/quantization \
    "$packages"/onnxruntime/datasets "$packages"/onnxruntime/backend "$packages"/google
fi

# Modules of numpy for its tests (not f2py, which scipy imports with all of numpy); pictures that pillow would never read or letters that it would never draw
# here, with their libraries.
rm -rf "$packages"/numpy/_core/_simd.*so "$packages"/numpy/_core/_*_tests.*so
if [ -d "$packages/PIL" ] && [ ! -d "$packages/matplotlib" ] && [ ! -d "$packages/highdicom" ]; then
  rm -f "$packages"/PIL/_imagingft*.so "$packages"/PIL/_webp*.so "$packages"/PIL/_imagingcms*.so
  needed=$(ldd "$packages"/PIL/*.so | awk '/pillow.libs/ { print $3 }' | xargs -n 1 basename | sort -u)
  for library in "$packages"/pillow.libs/*; do
    echo "$needed" | grep -q -x -F "$(basename "$library")" || rm "$library"
  done
fi
