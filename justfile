# Every command that a person types here. `just` alone lists them.

import 'pipelines/chain.just'

tools := justfile_directory() / "target/release"
export PATH := tools + ":" + env("PATH")

[private]
default:
    @just --list --unsorted --justfile {{ quote(justfile()) }}

# Pictures → shard → trained DCGAN → samples → score, in this folder. Without DATA on demo faces, no download
[group('use')]
[no-cd]
all DATA="": build
    @just --justfile {{ quote(justfile()) }} --working-directory . {{ if DATA == "" { "_demo" } else { "_celeba " + quote(DATA) } }}

# DCGAN on CelebA's faces, or on a folder, zip or list of your own: 5 epochs, 3,000 samples, FID
[group('recipes')]
[no-cd]
celeba DATA: build
    @just --justfile {{ quote(justfile()) }} --working-directory . _celeba {{ quote(DATA) }}

# DCGAN on a few hundred photographs of cats (or of anything), changed a little at each draw: 54 epochs
[group('recipes')]
[no-cd]
cats DATA: build
    @just --justfile {{ quote(justfile()) }} --working-directory . _recipe cats {{ quote(DATA) }} 1000

# MLP GAN on MNIST's digits: 200 epochs
[group('recipes')]
[no-cd]
mnist DATA: build
    @just --justfile {{ quote(justfile()) }} --working-directory . _recipe mnist {{ quote(DATA) }} 3000

# MLP GAN on Fashion-MNIST's clothes (or MNIST's digits): 200 epochs
[group('recipes')]
[no-cd]
fashion DATA: build
    @just --justfile {{ quote(justfile()) }} --working-directory . _recipe fashion {{ quote(DATA) }} 3000

# MLP GAN on MNIST's digits with a deeper D, G kept at 10, 50, 100 and 300 epochs
[group('recipes')]
[no-cd]
mnist-fixed DATA: build
    @just --justfile {{ quote(justfile()) }} --working-directory . _recipe mnist-fixed {{ quote(DATA) }} 3000

# Build the four tools into target/release
[group('use')]
build:
    cargo build --release --locked --manifest-path {{ quote(justfile_directory() / "Cargo.toml") }}

# Install prep, train, sample and fid into cargo's bin folder
[group('use')]
install:
    cargo install --locked --path {{ quote(justfile_directory()) }}

# All tests: units, goldens against PyTorch and pytorch-fid, the binaries end to end
[group('work')]
test:
    cargo test --release --locked --workspace

# Formatting, and clippy with warnings as errors
[group('work')]
lint:
    cargo fmt --all --check
    cargo clippy --release --locked --workspace --all-targets -- -D warnings

# The table of PERFORMANCE.md, or its rows with a WORD in their names; `peers` first: against Python's programs
[group('work')]
[positional-arguments]
bench *WORDS:
    cargo bench --locked --bench bench -- "$@"

# Each convolution alone, in percent of this machine's peak; WORDS choose some
[group('work')]
[positional-arguments]
bench-kernels *WORDS:
    cargo bench --locked --workspace --bench kernels -- "$@"

# The CUDA build without a GPU: nvcc from PyPI into FOLDER, compile, link, the GPU path's tests on an emulated GPU. 10 minutes and more
[group('gpu')]
check-cuda FOLDER="target/cuda-toolkit":
    tests/cuda/check.sh {{ quote(FOLDER) }}

# On a machine with a GPU and CUDA's toolkit: the goldens and the chain on the GPU, then its speed, into gpu.json
[group('gpu')]
[positional-arguments]
test-gpu *WORDS:
    cargo test --release --locked --workspace --features cuda gpu
    cargo bench --locked --features cuda --bench bench -- gpu "$@"

# What the continuous integration runs
[group('work')]
ci: lint test
