#!/usr/bin/env bash
# What can be proved of the CUDA build without a GPU: nvcc compiles candle's kernels, the whole workspace compiles and links,
# the tools say in one line that there is no GPU, and the tests of the GPU path pass on an emulated one (driver.cpp).
#
#     tests/cuda/check.sh [FOLDER]    FOLDER (target/cuda-toolkit) keeps nvcc and CUDA's libraries, which come from PyPI
#
# Compiling the kernels takes minutes; later runs find them in target/cuda.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
mkdir -p "${1:-target/cuda-toolkit}"
toolkit=$(cd "${1:-target/cuda-toolkit}" && pwd)
version='13.0.*'
say() { printf '\n== %s\n' "$*"; }
die() { printf 'check-cuda: %s\n' "$*" >&2; exit 1; }

root=$toolkit/nvidia/cu13
if [[ ! -x $root/bin/nvcc ]]; then
    say "nvcc and CUDA's libraries into $toolkit"
    python3 -m pip install --quiet --target "$toolkit" "nvidia-cuda-nvcc==$version" "nvidia-nvvm==$version" \
        "nvidia-cuda-crt==$version" "nvidia-cuda-runtime==$version" "nvidia-cublas==$version" nvidia-curand \
        "nvidia-cuda-nvrtc==$version" "nvidia-cuda-cccl==$version"
fi
# What the linker asks for: names without versions, lib64, and a driver, of which there is the header alone.
for library in "$root"/lib/*.so.*; do
    name=${library##*/}
    ln -sf "$name" "$root/lib/${name%%.so.*}.so"
done
ln -sfn lib "$root/lib64"
mkdir -p "$root/lib/stubs"
gcc -E -I"$root/include" "$root/include/cuda.h" | tr '\n' ' ' | grep -oE 'CUresult +cu[A-Za-z0-9_]+ *\(' |
    sed -E 's/CUresult +(cu[A-Za-z0-9_]+).*/int \1(void) { return 100; }/' | sort -u > "$root/stub.c"
gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$root/lib/stubs/libcuda.so" "$root/stub.c"

# The kernels are PTX for this generation of GPUs (80: Ampere); the driver compiles them further for newer ones.
export CUDA_HOME=$root CUDA_PATH=$root CUDA_ROOT=$root NVCC=$root/bin/nvcc PATH=$root/bin:$PATH
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
cuda=(--release --locked --workspace --target-dir target/cuda --features)

say "the workspace with --features cuda"
time cargo build "${cuda[@]}" cuda
say "the types of --features cudnn, whose library is not here"
cargo check "${cuda[@]}" cudnn

say "an emulated GPU of candle's own kernels"
kernels=$(cargo metadata --format-version 1 --locked --features cuda | python3 -c '
import json, os, sys
found = [p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "candle-kernels"]
print(os.path.dirname(found[0]) + "/src")')
gpu=$PWD/target/cuda/gpu
mkdir -p "$gpu/empty"
cp "$kernels"/{affine,binary,cast,conv,fill,indexing,ternary,unary}.cu "$gpu/"
# These two are included more than once here.
for header in cuda_utils.cuh binary_op_macros.cuh; do
    { echo '#pragma once'; cat "$kernels/$header"; } > "$gpu/$header"
done
cp "$here/compatibility.cuh" "$here/driver.cpp" "$gpu/"
for header in cuda.h cuda_fp16.h cuda_bf16.h cuda_fp8.h; do : > "$gpu/empty/$header"; done
g++ -std=c++17 -O3 -w -shared -fPIC -I"$gpu" -I"$gpu/empty" "$gpu/driver.cpp" -o "$gpu/libcuda.so.1"
for library in libcublasLt.so.13 libcublas.so.13 libcurand.so.10; do ln -sf libcuda.so.1 "$gpu/$library"; done

say "what the tools say without a GPU"
tools=target/cuda/release
for tool in train sample fid; do
    ! readelf -d $tools/$tool | grep -E 'NEEDED.*lib(cu|nv)' || die "$tool does not start without these libraries"
done
# EXPECTED [NAME=VALUE…]: the line that `train --device cuda` fails with.
fails() {
    local expected=$1 line status=0
    line=$(env "${@:2}" $tools/train --device cuda no-such-shard 2>&1) || status=$?
    [[ $status == 1 && $line == "train: --device: cuda: $expected"*"; cpu needs no GPU" && $line != *$'\n'* ]] ||
        die "expected $expected; exit $status: $line"
    echo "$line"
}
unset CUDA_HOME CUDA_PATH CUDA_ROOT
if ! ldconfig -p | grep -q libcuda.so.1; then fails "NVIDIA's driver (libcuda.so.1) is not installed"; fi
fails "no such GPU: no CUDA-capable device is detected" LD_LIBRARY_PATH="$gpu" EMULATED_GPUS=0
fails "NVIDIA's driver supports CUDA 12.2, and this build needs 13.0: update the driver" LD_LIBRARY_PATH="$gpu" EMULATED_DRIVER=12020
# Without --device the CPU does it, after a line that says why.
line=$(LD_LIBRARY_PATH="$gpu" EMULATED_GPUS=0 $tools/train no-such-shard 2>&1) && die "trained on nothing"
[[ $line == "train: computing on the CPU: no such GPU: "*$'\n'"train: no-such-shard: "* ]] || die "$line"
echo "$line"

say "the tests of the GPU path, on the emulated one"
export CUDA_HOME=$root CUDA_PATH=$root CUDA_ROOT=$root
LD_LIBRARY_PATH=$gpu cargo test "${cuda[@]}" cuda gpu -- --skip bf16 --nocapture
