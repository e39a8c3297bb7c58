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

# What the continuous integration runs
[group('work')]
ci: lint test
