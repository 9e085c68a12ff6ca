#!/usr/bin/env bash
# Breaks the library on purpose and counts which breaks no test notices. Needs cargo-mutants.
#
#     tests/mutants.sh 1/16 kl vae    every sixteenth break of two modules; 1/1 is all of them (several hours)
#
# First the tests of the module itself, then, for what survived, all of them. The list of survivors is printed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
share=${1:-1/16}
shift || true
modules=("$@")
[ ${#modules[@]} -gt 0 ] || modules=(autodiff distributions kl gradients vae nn train autoencoders)
shard="$((${share%/*} - 1))/${share#*/}"
results=${MUTANTS_OUT:-target/mutants}
mkdir -p "$results"

mutants() { # module, then the arguments
    local module=$1
    shift
    # Exit code 2: there are survivors.
    cargo mutants --in-place --file "src/$module/**" --shard "$shard" --sharding round-robin --baseline skip \
        --timeout 240 --build-timeout 400 --output "$results/$module" "$@" || [ $? -eq 2 ]
}

for module in "${modules[@]}"; do
    case $module in
        autodiff) filters=(autodiff check) ;;
        distributions) filters=(distributions kl gaussian) ;;
        nn) filters=(nn train) ;;
        vae) filters=(vae train) ;;
        *) filters=("$module") ;;
    esac
    mutants "$module" -- --lib --test derivations --test library -- "${filters[@]}"
    if [ -s "$results/$module/mutants.out/missed.txt" ]; then
        mutants "$module" --iterate -- --lib --test derivations --test library
    fi
done
echo "survivors:"
cat "$results"/*/mutants.out/missed.txt
