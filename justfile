# All commands of the project. `just` alone lists them.

import 'pipelines/chain.just'

tools := justfile_directory() / "target/release"
export PATH := tools + ":" + env("PATH")

[private]
default:
    @just --list --unsorted --justfile {{ quote(justfile()) }}

# Images → shard → trained DCGAN → samples → score, in this folder. Without DATA: demo faces, no download
[group('use')]
[no-cd]
all DATA="": build
    @just --justfile {{ quote(justfile()) }} --working-directory . {{ if DATA == "" { "_demo" } else { "_celeba " + quote(DATA) } }}

# DCGAN on CelebA, or on a folder or zip of your own: 5 epochs, 3,000 samples, FID
[group('recipes')]
[no-cd]
celeba DATA: build
    @just --justfile {{ quote(justfile()) }} --working-directory . _celeba {{ quote(DATA) }}

# DCGAN on a few hundred photographs of cats (or anything else), with augmentation: 54 epochs
[group('recipes')]
[no-cd]
cats DATA: build
    @just --justfile {{ quote(justfile()) }} --working-directory . _recipe cats {{ quote(DATA) }} 1000

# MLP GAN on MNIST: 200 epochs
[group('recipes')]
[no-cd]
mnist DATA: build
    @just --justfile {{ quote(justfile()) }} --working-directory . _recipe mnist {{ quote(DATA) }} 3000

# MLP GAN on Fashion-MNIST (or MNIST): 200 epochs
[group('recipes')]
[no-cd]
fashion DATA: build
    @just --justfile {{ quote(justfile()) }} --working-directory . _recipe fashion {{ quote(DATA) }} 3000

# MLP GAN on MNIST with a deeper D; saves G at epochs 10, 50, 100 and 300
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

# All tests: units, goldens against PyTorch and pytorch-fid, the tools end to end
[group('work')]
test:
    cargo test --release --locked --workspace

# All fault-injection tests: a thousand kills, every system call failing, every bit flipped (docs/reliability.md)
[group('work')]
chaos:
    GANTOOLS_CHAOS=1 cargo test --release --locked --test tools -- --nocapture --test-threads 1 chaos:: hostile::
    GANTOOLS_CHAOS=1 cargo test --release --locked --package gan --test damage -- --nocapture

# Check formatting; run clippy with warnings as errors
[group('work')]
lint:
    cargo fmt --all --check
    cargo clippy --release --locked --workspace --all-targets -- -D warnings

# The benchmarks of docs/performance.md, or those with a WORD in their names; `peers` first: against Python programs
[group('work')]
[positional-arguments]
bench *WORDS:
    cargo bench --locked --bench bench -- "$@"

# Each convolution alone, in percent of this machine's peak, or those with a WORD in their names
[group('work')]
[positional-arguments]
bench-kernels *WORDS:
    cargo bench --locked --workspace --bench kernels -- "$@"

# The kernel tests under AddressSanitizer (nightly Rust)
[group('work')]
asan:
    RUSTFLAGS=-Zsanitizer=address cargo +nightly test --release --locked --package gan-kernels --lib \
        --target {{ arch() }}-unknown-linux-gnu --target-dir target/asan

# Check licenses and sources of all dependencies (cargo-deny), and security advisories if they can be fetched
[group('work')]
deny:
    cargo fetch --locked --quiet
    cargo deny --offline --locked check licenses bans sources
    if timeout 120 cargo deny --locked fetch db; then cargo deny --offline --locked check advisories; \
    else echo "the security advisories cannot be fetched: not checked" >&2; fi

# Fuzz TARGET (shard, npz, idx, image, tar, array, parquet, pth, recipe, checkpoint) for SECONDS (cargo-fuzz)
[group('work')]
fuzz TARGET SECONDS="300":
    cargo +nightly fuzz run --fuzz-dir tests/fuzz {{ TARGET }} \
        target/fuzz/{{ TARGET }} tests/fuzz/seeds/{{ TARGET }} -- \
        -max_total_time={{ SECONDS }} -timeout=20 -malloc_limit_mb=512 -max_len=65536

# Without a GPU: install nvcc from PyPI into FOLDER, build with CUDA, test on an emulated GPU. At least 10 minutes
[group('gpu')]
check-cuda FOLDER="target/cuda-toolkit":
    tests/cuda/check.sh {{ quote(FOLDER) }}

# With a GPU and the CUDA toolkit: goldens and the chain on the GPU, then its speed, into gpu.json
[group('gpu')]
[positional-arguments]
test-gpu *WORDS:
    cargo test --release --locked --workspace --features cuda gpu
    cargo bench --locked --features cuda --bench bench -- gpu "$@"

# Make the images of the README in docs/img: trains the demo recipe, a few minutes
[group('work')]
[positional-arguments]
pictures *ARGS: build
    docs/img/make.sh "$@"

# What continuous integration runs
[group('work')]
ci: lint test
