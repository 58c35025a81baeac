"""Faults in the parsers and the resolver that the fuzz targets must find. ci/mutants-fuzz runs this.

  draw                 Print the faults that the rule draws from the sources, as a table
  weave                Build all targets with as many faults as possible in one program, in which each can be selected
  run [ID...]          Build the targets with each fault and run them; continues an interrupted run
  record               Print the table of the results

A fault is an edit of one line; it does not name a target. reach.toml says which targets reach a file.
"""

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# What cargo fuzz passes, without AddressSanitizer: our code has no `unsafe` here, and builds and runs are faster.
FLAGS = (
    "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
    " -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
    " -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions"
)
TRIPLE = "x86_64-unknown-linux-gnu"

# The rule: each is a pattern on the code of a line, without its comments and strings, and the replacement.
SWAPS = [
    (r" < ", " <= "),
    (r" <= ", " < "),
    (r" > ", " >= "),
    (r" >= ", " > "),
    (r" == ", " != "),
    (r" != ", " == "),
    (r" && ", " || "),
    (r" \|\| ", " && "),
    (r"\.\.=", ".."),
    (r"\.is_some\(\)", ".is_none()"),
    (r"\.is_none\(\)", ".is_some()"),
    (r"\.is_ok\(\)", ".is_err()"),
    (r"\.is_err\(\)", ".is_ok()"),
    (r"\.any\(", ".all("),
    (r"\.all\(", ".any("),
    (r"\.min\(", ".max("),
    (r"\.max\(", ".min("),
    (r"\.first\(\)", ".last()"),
    (r"\.last\(\)", ".first()"),
    (r"\.position\(", ".rposition("),
    (r"\.rposition\(", ".position("),
    (r"\.starts_with\(", ".ends_with("),
    (r"\.ends_with\(", ".starts_with("),
    (r"\.trim_ascii\(\)", ".trim_ascii_start()"),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
]


def masked(line):
    """The line with comments and the contents of strings as spaces; byte literals stay."""
    out, at = [], 0
    while at < len(line):
        if line.startswith("//", at):
            out.append(" " * (len(line) - at))
            break
        literal = re.match(r"b?'(\\x[0-9a-fA-F]{2}|\\.|[^\\'])'", line[at:])
        if literal:
            out.append(literal[0])
            at += len(literal[0])
        elif line[at] == '"':
            end = at + 1
            while end < len(line) and line[end] != '"':
                end += 2 if line[end] == "\\" else 1
            out.append('"' + " " * (min(end, len(line) - 1) - at - 1) + '"')
            at = end + 1
        else:
            out.append(line[at])
            at += 1
    return "".join(out)[: len(line)].ljust(len(line))


def changes(line):
    """The changed lines."""
    code = masked(line)
    found = []
    for pattern, new in SWAPS:
        found += [(m.start(), m.end(), new) for m in re.finditer(pattern, code)]
    # Constants and limits: one more, but 0 for 1. A boundary is changed by its operator. Of a line of a table, the first.
    constants = []
    for m in re.finditer(r"(?<![\w.'\"])(0x[0-9a-fA-F_]+|\d[\d_]*)(?![\w'])", code):
        if not re.search(r"( <| <=| >| >=) $", code[: m.start()]):
            number = int(m[0].replace("_", ""), 0)
            constants.append((m.start(), m.end(), "0" if number == 1 else str(number + 1)))
    found += constants if len(constants) <= 8 else constants[:1]
    # A letter of the syntax is another one.
    for m in re.finditer(r"b'(\\.|[^\\'])'", code):
        found.append((m.start(), m.end(), "b'~'"))
    # Text constants of the syntax, which are byte strings: one byte less.
    for m in re.finditer(r'b"( +)"', code):
        if line[m.end(1) - 2 : m.end(1) - 1] != "\\":
            found.append((m.end(1) - 1, m.end(1), ""))
    # Conditions and early returns.
    m = re.search(r"\bif (?!let )(.+) \{\s*$", code)
    if m and "else if" not in code:
        found.append((m.start(1), m.end(1), "!(" + line[m.start(1) : m.end(1)] + ")"))
    m = re.match(r"\s*(return\b.*|continue|break);\s*$", code)
    if m:
        found.append((m.start(1), m.end(1), ""))
    # One alternative of a match less.
    for m in re.finditer(r" \| b'(\\.|[^\\'])'", code):
        found.append((m.start(), m.end(), ""))
    # A step of a normalisation is left out.
    for m in re.finditer(r"\.(trim_ascii(_start|_end)?|to_ascii_lowercase|rev|dedup|sort|sort_unstable)\(\)", code):
        found.append((m.start(), m.end(), ""))
    return sorted({line[:start] + new + line[end:] for start, end, new in found} - {line})


def candidates(path):
    """All faults of a file, in the order of its lines."""
    function, seen, faults = "", {}, []
    for line in (ROOT / path).read_text().splitlines():
        if re.match(r"#\[cfg\(.*\btest\b", line):
            break
        code = masked(line)
        m = re.search(r"\bfn (\w+)", code)
        if m:
            function, seen = m[1], {}
        text = line.strip()
        seen[text] = seen.get(text, 0) + 1
        skipped = re.match(r"\s*(#\[|#!\[|//|use |pub use |mod |pub mod |fn |pub fn |pub\(\w+\) fn |impl|debug_assert)", line)
        if not skipped:
            faults += [(path, function, seen[text], text, new.strip()) for new in changes(line)]
    return faults


def reach():
    return tomllib.loads((HERE / "reach.toml").read_text())["file"]


def draw():
    """Every N-th fault, counted through all files, so that a long file has more."""
    lists = reach()
    every = tomllib.loads((HERE / "reach.toml").read_text())["every"]
    print("# Drawn by `ci/mutants-fuzz draw` from every comparison, constant, early return, normalisation and limit of the files")
    print("# in reach.toml. Written by that program.\n")
    count = 0
    for entry in lists:
        for path, function, nth, old, new in candidates(entry["path"]):
            count += 1
            if count % every == 0:
                print("[[fault]]")
                fields = {"file": path, "function": function, "nth": nth, "line": old, "new": new}
                for key, value in fields.items():
                    if key != "nth" or value > 1:
                        print(f"{key} = {json.dumps(value, ensure_ascii=False)}")
                print()


def faults(tables):
    for table in tables:
        for number, fault in enumerate(tomllib.loads((HERE / f"{table}.toml").read_text())["fault"], 1):
            yield f"{table}#{number}", fault


def struck():
    """The reasons why faults are struck, by fault."""
    listed = tomllib.loads((HERE / "struck.toml").read_text())["fault"]
    return {json.dumps({k: v for k, v in fault.items() if k != "reason"}): fault["reason"] for fault in listed}


def edited(text, fault):
    """The source with the fault, or None if its line is not there."""
    lines, function, left = text.splitlines(keepends=True), "", fault.get("nth", 1)
    for at, line in enumerate(lines):
        m = re.search(r"\bfn (\w+)", masked(line.rstrip("\n")))
        if m:
            function = m[1]
        if function == fault["function"] and line.strip() == fault["line"]:
            left -= 1
            if left == 0:
                lines[at] = line.replace(fault["line"], fault["new"])
                return "".join(lines)
    return None


def blanked(text):
    """The source with comments and the contents of strings and characters as spaces, so that only code has braces."""
    pattern = re.compile(
        r"//[^\n]*|/\*.*?\*/|b?r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|b?'(?:\\x[0-9a-fA-F]{2}|\\u\{[^}]*\}|\\.|[^\\'\n])'", re.S
    )
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def body_of(code, offset):
    """The start and end of the innermost function body around an offset, without its braces; None outside of functions."""
    found = None
    for m in re.finditer(r"\bfn \w+", code[:offset]):
        depth, at = 0, m.end()
        while at < len(code) and not (depth == 0 and code[at] in "{;"):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(code[at], 0)
            at += 1
        if at >= len(code) or code[at] == ";" or at >= offset:
            continue
        start, depth = at + 1, 0
        while at < len(code):
            depth += {"{": 1, "}": -1}.get(code[at], 0)
            if depth == 0:
                break
            at += 1
        line = code[code.rfind("\n", 0, m.start()) + 1 : m.start()]
        if start <= offset < at:
            found = (start, at) if not re.search(r"\bconst\b", line) else None
    return found


def weave(text, edits):
    """The source with all faults, each in a copy of its function's body that runs if `crate::fault()` is its number. Returns
    it with the numbers of the faults in functions, each with the range of its lines and that of the function's."""
    code, bodies = blanked(text), {}
    for number, fault in edits:
        with_fault = edited(text, fault)
        if with_fault is None:
            continue
        offset = next(at for at, (old, new) in enumerate(zip(text, with_fault)) if old != new)
        body = body_of(code, offset)
        if body:
            end = len(with_fault) - (len(text) - body[1])
            bodies.setdefault(body, []).append((number, with_fault[body[0] : end]))
    # Bodies can be nested: only the outermost of them are copied, and the faults of an inner one are left out.
    outer = [body for body in bodies if not any(o[0] < body[0] and body[1] < o[1] for o in bodies)]
    out, at, places = "", 0, {}
    for start, end in sorted(outer):
        out += text[at:start]
        first = out.count("\n") + 1
        own = []
        for number, body in bodies[(start, end)]:
            begin = out.count("\n") + 1
            out += f" if crate::fault() == {number} {{{body}}} else"
            own.append((number, begin, out.count("\n") + 1))
        out += f" {{{text[start:end]}}} "
        last = out.count("\n") + 1
        for number, begin, stop in own:
            places[number] = (begin, stop, first, last)
        at = end
    return out + text[at:], places


WOVEN = """
/// The number of the fault to run with, from the environment.
pub(crate) fn fault() -> u32 {
    static FAULT: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *FAULT.get_or_init(|| std::env::var("KMODLAB_FAULT").ok().and_then(|number| number.parse().ok()).unwrap_or_default())
}
"""


class Runner:
    def __init__(self, work, limit, only_woven=False):
        self.work, self.limit, self.only_woven = work, limit, only_woven
        self.source, self.build = work / "source", work / "build"
        self.results = work / "results"
        self.results.mkdir(parents=True, exist_ok=True)
        self.source.mkdir(exist_ok=True)
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, listed.split("\0")):
            original, copy = ROOT / name, self.source / name
            # An unchanged file keeps its time, so that cargo does not compile it again.
            if original.is_file() and (not copy.is_file() or copy.read_bytes() != original.read_bytes()):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(original, copy)

    def weave(self, chosen):
        """Builds all targets with all these faults in one program, where that is possible. Returns the numbers of the others."""
        left, numbered = set(), dict(enumerate((fault for _, fault in chosen), 1))
        files = sorted({fault["file"] for fault in numbered.values()})
        while True:
            places = {}
            for file in files:
                edits = [(number, fault) for number, fault in numbered.items() if fault["file"] == file and number not in left]
                text, there = weave((ROOT / file).read_text(), edits)
                self.write(file, text)
                places |= {number: (file, *place) for number, place in there.items()}
            left |= numbered.keys() - places.keys()
            self.write("kmod/src/lib.rs", (ROOT / "kmod/src/lib.rs").read_text() + WOVEN)
            command = ["cargo", "check", "-q", "--locked", "-p", "kmodlab-kmod", "--message-format", "short"]
            env = os.environ | {"CARGO_TARGET_DIR": str(self.work / "check")}
            errors = subprocess.run(command, cwd=self.source / "fuzz", env=env, capture_output=True, text=True).stderr
            found = re.findall(r"^\S*?(kmod/src/\S+?|src/\S+?):(\d+):\d+: error", errors, re.M)
            bad = set()
            for file, line in [(name[name.index("src/") :], int(line)) for name, line in found]:
                inside = [(n, p) for n, p in places.items() if p[0].endswith("kmod/" + file)]
                own = {n for n, p in inside if p[1] <= line <= p[2]}
                bad |= own or {n for n, p in inside if p[3] <= line <= p[4]}
            if not bad:
                if found or "error" in errors:
                    raise RuntimeError(errors[-3000:])
                break
            left |= bad
        error = self.compile()
        if error:
            raise RuntimeError(error)
        (self.work / "woven.json").write_text(json.dumps({"faults": [numbered[n] for n in places], "numbers": list(places)}))
        program = self.build / TRIPLE / "mutants/examples/any"
        shutil.copyfile(program, self.work / "woven")
        (self.work / "woven").chmod(0o755)
        for file in [*files, "kmod/src/lib.rs"]:
            self.write(file, (ROOT / file).read_text())
        print(f"{len(places)} faults are in one program, {len(left)} need a build each", flush=True)

    def write(self, file, text):
        path = self.source / file
        if path.read_text() != text:
            path.write_text(text)

    def compile(self):
        env = os.environ | {"RUSTFLAGS": FLAGS, "CARGO_TARGET_DIR": str(self.build)}
        command = ["cargo", "build", "-q", "--locked", "--profile", "mutants", "--example", "any", "--target", TRIPLE]
        done = subprocess.run(command, cwd=self.source / "fuzz", env=env, capture_output=True, text=True)
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
            return errors[0] if errors else "error"
        return None

    def target(self, name, seconds, number=None):
        """Runs a target for this much time of one processor. Returns its end and the used time."""
        scratch = self.work / "corpus"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        program = self.work / "woven" if number else self.build / TRIPLE / "mutants/examples/any"
        command = [program, scratch, "-seed=1", "-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={scratch}/", "-print_final_stats=0"]
        limits = lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            command, env=os.environ | {"KMODLAB_FUZZ_TARGET": name, "KMODLAB_FAULT": str(number or 0)}, preexec_fn=limits, capture_output=True, cwd=scratch
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        panic = re.search(rb"panicked at ([^\n]*)\n([^\n]*)", done.stderr)
        message = b" ".join(panic.groups()).decode(errors="replace") if panic else ""
        if done.returncode in (-24, -9):
            return None, used, ""
        if done.returncode not in (70, 71, 77):
            raise RuntimeError(f"{name}: exit status {done.returncode}: {done.stderr[-300:]!r}")
        # The input must be fine without the fault.
        inputs = [path for path in scratch.iterdir() if path.name.startswith("crash-")]
        if inputs and number:
            env = os.environ | {"KMODLAB_FUZZ_TARGET": name, "KMODLAB_FAULT": "0"}
            if subprocess.run([program, inputs[0]], env=env, capture_output=True).returncode != 0:
                raise RuntimeError(f"{name} stops without a fault, too: {message}")
        return {70: "time limit", 71: "memory limit", 77: "panic"}[done.returncode], used, message

    def fault(self, ident, fault):
        original = (ROOT / fault["file"]).read_text()
        text = edited(original, fault)
        if text is None:
            return {"state": "stale"}
        number = self.woven.get(json.dumps(fault))
        if not number and self.only_woven:
            return None
        try:
            if not number:
                self.write(fault["file"], text)
                error = self.compile()
                if error:
                    return {"state": "does not compile", "message": error}
            targets = next(entry["targets"] for entry in reach() if entry["path"] == fault["file"])
            used, before = dict.fromkeys(targets, 0.0), 0
            # Short runs of all targets first, so that what is easy to find is found soon.
            for seconds in [step for step in (5, 20, 60) if step < self.limit] + [self.limit]:
                for target in targets:
                    end, time, message = self.target(target, seconds, number)
                    if end:
                        return {"state": "found", "target": target, "seconds": round(time, 2), "end": end, "message": message[:200]}
                    used[target] = time
            return {"state": "missed", "seconds": self.limit, "targets": targets}
        finally:
            self.write(fault["file"], original)

    def run(self, chosen, total, again):
        began, reasons = time.monotonic(), struck()
        woven = self.work / "woven.json"
        known = json.loads(woven.read_text()) if woven.exists() else {"faults": [], "numbers": []}
        self.woven = {json.dumps(fault): number for fault, number in zip(known["faults"], known["numbers"])}
        for ident, fault in chosen:
            file = self.results / f"{ident.replace('#', '-')}.json"
            if file.exists():
                old = json.loads(file.read_text())
                same = old["fault"] == fault
                if same and (old["state"] != "missed" or not again and old["seconds"] >= self.limit):
                    continue
            if json.dumps(fault) in reasons:
                continue
            if total and time.monotonic() - began > total:
                print("stopped: run again to continue", file=sys.stderr)
                return
            result = self.fault(ident, fault)
            if result is None:
                continue
            result |= {"fault": fault}
            file.write_text(json.dumps(result, indent=1, ensure_ascii=False))
            print(ident, {key: value for key, value in result.items() if key not in ("fault", "targets")}, flush=True)

    def record(self, chosen):
        rows, times, counts, reasons = [], [], {}, struck()
        for ident, fault in chosen:
            file = self.results / f"{ident.replace('#', '-')}.json"
            result = json.loads(file.read_text()) if file.exists() else {"state": "not run"}
            if result.get("fault", fault) != fault:
                result = {"state": "not run"}
            reason = reasons.get(json.dumps(fault))
            state = "struck" if reason and result["state"] != "found" else result["state"]
            counts[state] = counts.get(state, 0) + 1
            cell = lambda text: "`" + text.replace("|", "\\|").replace("`", "'") + "`"
            detail = {"found": lambda: f"`{result['target']}`, {result['seconds']} s", "struck": lambda: f"struck: {reason}", "missed": lambda: f"missed in {result['seconds']} s each"}
            text = detail.get(state, lambda: state)()
            if state == "found":
                times.append(result["seconds"])
            rows.append(f"| {ident} | {fault['file'].removeprefix('kmod/src/')} | {cell(fault['line'])} | {cell(fault['new'])} | {text} |")
        print("# Faults in the parsers and the fuzz targets\n")
        print("Printed by `ci/mutants-fuzz record`; [fuzzing](../guide/fuzzing.md#planted-faults) describes the")
        print("faults. A time is that of one processor until the target that found the fault stopped.\n")
        print(f"Of {sum(counts.values())} faults: " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) + ".", end="")
        print(f" The median time is {statistics.median(times):.2f} s.\n" if times else "\n")
        print("| fault | file | line | changed to | result |\n|---|---|---|---|---|")
        print("\n".join(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["draw", "weave", "run", "record"])
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--work", type=Path, default=ROOT / "target/mutants-fuzz", help="the directory for copies, builds and results")
    parser.add_argument("--limit", type=int, default=300, help="run each target for at most N seconds of one processor")
    parser.add_argument("--stop-after", type=int, default=0, help="stop after the fault that runs after N seconds")
    parser.add_argument("--every", type=int, default=1, help="only every N-th fault")
    parser.add_argument("--woven", action="store_true", help="only faults that the program of `weave` contains")
    arguments = parser.parse_args()
    if arguments.command == "draw":
        return draw()
    chosen = list(faults(["planted", "drawn"]))
    if arguments.ids:
        chosen = [item for item in chosen if item[0] in arguments.ids or item[0].split("#")[0] in arguments.ids]
    chosen = chosen[:: arguments.every]
    if arguments.command == "weave":
        return Runner(arguments.work, arguments.limit).weave(chosen)
    if arguments.command == "run":
        return Runner(arguments.work, arguments.limit, arguments.woven).run(chosen, arguments.stop_after, bool(arguments.ids))
    Runner.record(argparse.Namespace(results=arguments.work / "results"), chosen)


main()
