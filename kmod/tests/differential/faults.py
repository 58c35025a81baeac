"""Builds our tools with each fault of faults.toml and checks that random cases find it.

usage: faults.py DIRECTORY [TEXT], called by ci/differential --faults, which sets the environment of the suite.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib

SEED = "4711"
directory, wanted = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
source, target = os.path.join(directory, "source"), os.path.join(directory, "build")
os.makedirs(source, exist_ok=True)

# Copies keep their times, so that cargo builds only what has changed.
for path in subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout.split(b"\0"):
    path = os.fsdecode(path)
    if os.path.isfile(path):
        copy = os.path.join(source, path)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        if not os.path.exists(copy) or os.stat(copy).st_mtime != os.stat(path).st_mtime:
            shutil.copy2(path, copy)

with open("kmod/tests/differential/faults.toml", "rb") as table:
    faults = [fault for fault in tomllib.load(table)["fault"] if wanted in fault["name"]]
build = ["cargo", "build", "--quiet", "--locked", "-p", "kmodlab-kmod", "--bin", "kmod", "--target-dir", target]
run = ["cargo", "test", "--quiet", "--locked", "-p", "kmodlab-kmod", "--test", "differential", "--"]
missed = 0
for fault in faults:
    path = os.path.join(source, "kmod", fault["file"])
    with open(path) as file:
        text = file.read()
    if text.count(fault["pattern"]) != 1:
        sys.exit(f"{fault['name']}: {fault['file']} does not contain the pattern once")
    try:
        with open(path, "w") as file:
            file.write(text.replace(fault["pattern"], fault["replacement"]))
        subprocess.run(build, check=True, cwd=source)
    finally:
        with open(path, "w") as file:
            file.write(text)
    environment = {
        **os.environ,
        "KMOD_DIFFERENTIAL_REQUIRED": "1",
        "KMOD_DIFFERENTIAL_OURS": os.path.join(target, "debug", "kmod"),
    }
    done = subprocess.run(
        [*run, "--random", "1", "--seed", SEED, "--first"], env=environment, capture_output=True, text=True
    )
    case = re.search(r"case (\d+) \((\w+)\)", done.stdout)
    time = re.search(r"ended after ([\d.]+) s", done.stdout)
    if case and time:
        print(f"found by case {case[1]} ({case[2]}) after {time[1]} s: {fault['name']}", flush=True)
    else:
        missed += 1
        print(f"NOT FOUND: {fault['name']}\n{done.stdout}{done.stderr}", flush=True)
print(f"{len(faults) - missed} of {len(faults)} faults were found")
sys.exit(1 if missed or not faults else 0)
