"""Faults in every call by which a run writes: an error of the system, or a kill. Nothing good may be lost.

    cargo build --release && python3 tests/faults.py target/release/elbo

Needs strace. Each round starts from the folder of a finished run and trains another one into it, with one call made to
fail (no space, input/output error, permission denied) or with the process killed at it. Afterwards

- an error is one line on stderr and an exit code other than 0, without a panic, and leaves no temporary file;
- every file of the folder is, byte for byte, the earlier run's or the new one's, and if a report is there, all are of one run;
- `--resume` ends with the very files of a run that was never disturbed.

The same for `sample` onto an existing picture. The last rounds change the locale, the time zone and the clock.
"""

import collections
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

ELBO = os.path.abspath(sys.argv[1])
CALLS = ["openat", "write", "fsync", "fchmod", "renameat", "unlink", "mkdir", "ftruncate", "link", "linkat"]
ACTIONS = ["error=ENOSPC", "error=EIO", "error=EACCES", "signal=SIGKILL"]
RESULTS = ["model.safetensors", "metrics.csv", "elbo.svg", "samples.png", "reconstructions.png", "interpolation.png", "report.html"]
CHECKPOINT = "checkpoint.safetensors"


def images():
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (20, 2, 2), }"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(range(80))


def train(out, *more):
    return [ELBO, "train", "--threads", "1", "--out", out, *more]


def run(words, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def calls(words, inside):
    """The number of each kind of call that touches a folder or writes to a descriptor, as strace counts them."""
    with tempfile.NamedTemporaryFile("r") as log:
        run(["strace", "-f", "-o", log.name, "-e", "trace=" + ",".join(CALLS), *words]).check_returncode()
        seen, found = collections.Counter(), []
        for line in log:
            call = re.match(r"\d+ +(\w+)\(", line)
            if call:
                name = call.group(1)
                seen[name] += 1
                if name in ("write", "fsync", "fchmod", "ftruncate") or f"{inside}/" in line or f'"{inside}"' in line:
                    found.append((name, seen[name]))
    return found


def faulty(words, name, number, action):
    rule = f"inject={name}:{action}:when={number}"
    return run(["strace", "-f", "-o", "/dev/null", "-e", f"trace={name}", "-e", rule, *words], timeout=60)


def check_error(result, action, what):
    if action.startswith("error"):
        assert "panicked" not in result.stderr, (what, result.stderr)
        lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
        if result.returncode != 0:
            assert len(lines) == 1 and lines[0].startswith("error: "), (what, result.stderr)
        assert result.returncode >= 0, (what, result.returncode)


def main():
    os.chdir(tempfile.mkdtemp())
    here = pathlib.Path(os.path.realpath("."))
    (here / "images.npy").write_bytes(images())
    common = ["--data", "images.npy", "--hidden", "2", "--latent", "1", "--epochs", "2"]
    old, new = here / "old", here / "new"
    run(train(old, *common, "--seed", "1")).check_returncode()
    run(train(new, *common, "--seed", "2")).check_returncode()
    old, new = contents(old), contents(new)
    assert set(old) == set(new) == {*RESULTS, CHECKPOINT}
    work, rounds, refused = here / "run", 0, 0

    def begin():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        for name, data in old.items():
            (work / name).write_bytes(data)

    begin()
    words = train(work, *common, "--seed", "2")
    for name, number in calls(words, work):
        for action in ACTIONS:
            what = f"train: {name} number {number}, {action}"
            begin()
            result = faulty(words, name, number, action)
            rounds += 1
            check_error(result, action, what)
            refused += action.startswith("error") and result.returncode != 0
            left = contents(work)
            temporary = [name for name in left if name.startswith(".elbo-")]
            # A temporary file that may not be removed stays.
            assert not temporary or action == "signal=SIGKILL" or name == "unlink", (what, temporary)
            # Whoever closes the standard output stops the run, which then leaves what an interrupted one leaves.
            interrupted = "standard output" in result.stderr
            for file in [] if interrupted else RESULTS[:-1]:
                assert left[file] in (old[file], new[file]), (what, file)
            if "report.html" in left and not interrupted:
                one = next((r for r in (old, new) if all(left[file] == r[file] for file in RESULTS)), None)
                assert one is not None, (what, "files of two runs beside a report")
            assert run([ELBO, "sample", work, "--out", here / "s.png"]).returncode == 0, what
            # From whatever is left, the run whose checkpoint it is can be finished.
            finished = run(train(work, "--resume"))
            assert finished.returncode == 0, (what, finished.stderr)
            left = contents(work)
            assert any(all(left[file] == r[file] for file in RESULTS) for r in (old, new)), (what, "not the same after --resume")
            if result.returncode == 0 and action.startswith("error"):
                assert all(left[file] == new[file] for file in RESULTS), (what, "success without results")
    print(f"train: {rounds} faults, {refused} of them reported as errors")

    rounds = 0
    picture = here / "pictures" / "samples.png"
    picture.parent.mkdir()
    words = [ELBO, "sample", "--threads", "1", work, "--out", picture, "--count", "7"]
    run(words).check_returncode()
    after = picture.read_bytes()
    for name, number in calls(words, picture.parent):
        for action in ACTIONS:
            what = f"sample: {name} number {number}, {action}"
            picture.write_bytes(b"an earlier picture")
            result = faulty(words, name, number, action)
            rounds += 1
            check_error(result, action, what)
            assert picture.read_bytes() in (b"an earlier picture", after), what
    print(f"sample: {rounds} faults")

    rounds = 0
    surroundings = [["env", f"LC_ALL={name}", f"TZ={zone}"] for name in ["C", "de_DE.UTF-8", "tr_TR.UTF-8"] for zone in ["UTC", "Asia/Kathmandu"]]
    surroundings += [["env", "-i"]]
    if shutil.which("faketime"):
        surroundings += [["faketime", "-f", clock] for clock in ["-30y", "+60y", "@2016-12-31 23:59:59 x1000"]]
    for surrounding in surroundings:
        shutil.rmtree(work)
        run([*surrounding, *train(work, *common, "--seed", "2")]).check_returncode()
        assert contents(work) == new, surrounding
        rounds += 1
    print(f"locale, time zone, clock: {rounds} runs of the same bytes")
    os.chdir("/")
    shutil.rmtree(here)


main()
