#!/usr/bin/env bash
# The module that holds the only unsafe code, and what calls it, under AddressSanitizer. Needs a nightly compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
# A target of its own, so that build scripts are not instrumented.
export RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/sanitizers}
cargo +nightly test --target "$host" --lib -- product lanes elementary
cargo +nightly test --target "$host" --test library -- products threads train::
