#!/usr/bin/env bash
# Fuzzes every reader for so many seconds each (600 without an argument), from the seeds of seeds.py. Needs a nightly
# compiler and cargo-fuzz; stops at the first finding, which it leaves in artifacts/.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-600}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(idx arrays png model checkpoint command_line)
cargo build --release --quiet --manifest-path ../../Cargo.toml
python3 seeds.py ../../target/release/elbo
for target in "${targets[@]}"; do
    echo "== $target"
    # No single allocation beyond 32 MB for inputs of 8 kB: deflate can hold a thousand times its size, not more.
    cargo +nightly fuzz run --fuzz-dir . "$target" -- -max_total_time="$seconds" -max_len=8192 -timeout=10 \
        -malloc_limit_mb=32 -rss_limit_mb=1024 -print_final_stats=1 2>&1 | grep -E 'bytes taken|stat::|SUMMARY|panicked|ERROR|error' | tail -n 12
done
