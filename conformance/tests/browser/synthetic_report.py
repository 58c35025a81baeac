"""Generates a JSON report of the size of a full matrix, with names that would break a page that trusted them."""

import json

HOSTILE = "</script><img src=x onerror=alert(1)>\"' & \u202eevil\u2066\u200b \x1b[2J"
KERNELS = [("5.10", "5.10.0-46-cloud-amd64"), ("6.1", "6.1.0-56-cloud-amd64"), ("6.12", "6.12.117-cloud-amd64"),
           ("/trees/a/arch/x86/boot/bzImage", "6.1.192"), ("/trees/b/arch/x86/boot/bzImage", "6.1.192")]
SUBJECTS = ["ours", "kmod-34", HOSTILE]
GROUPS = ["path", "loop", "dep", "load", "unload", "config", "tool"]
BEHAVIOURS = 210


def verdict(number, kernel, subject):
    """Returns a verdict. Every verdict occurs; behaviour 3 differs between kernels, 5 between subjects."""
    if number == 3 and kernel == 2:
        return "fail"
    if number == 5 and subject == 1:
        return "known"
    if number == 7 and subject == 2:
        return "skip"
    if number == 9 and kernel == 4:
        return "error"
    return "pass"


def row(number, kernel, subject):
    """Returns one row."""
    what = verdict(number, kernel, subject)
    name, release = KERNELS[kernel]
    got = "49" if what == "fail" else "51" if what == "known" else "50"
    first = {"name": "helpers started", "expected": "50", "got": got, "holds": got == "50"}
    if what == "known":
        first["deviation"] = {"reason": HOSTILE, "reference": "docs/facts/tools.md"}
    facts = [first,
             {"name": "requested names", "expected": "[net-pf-3]", "got": "[net-pf-3]", "holds": True}]
    reasons = {"fail": "helpers started: expected 50, got 49", "known": HOSTILE, "skip": "needs a subject with depmod",
               "error": "the agent did not answer"}
    return {
        "id": HOSTILE if number == 11 else f"{GROUPS[number % 7]}.behaviour-{number}",
        "catalogue": f"{GROUPS[number % 7].upper()}-{number:02}", "group": GROUPS[number % 7],
        "statement": f"statement {number}: a helper that asks again is cut off {HOSTILE if number == 11 else ''}",
        "source": "kernel/kmod.c", "about": "kernel" if number == 3 else "both",
        "kernel": {"name": name, "release": release}, "probes": {"cutoff": {"value": "wait-queue", "by": "image"}},
        "subject": SUBJECTS[subject], "verdict": what, "reason": reasons.get(what),
        "facts": [] if what in ("skip", "error") else facts, "guest_ms": None if what == "error" else 12, "wall_ms": 345,
        "flaky": number == 13 and kernel == 0 and subject == 0,
        "attempts": [{"verdict": "fail", "reason": HOSTILE, "facts": [{"name": "n", "expected": "1", "got": "2", "holds": False}],
                      "guest_ms": 1, "wall_ms": 2, "console": [HOSTILE]},
                     {"verdict": "pass", "reason": None, "guest_ms": 1, "wall_ms": 2}] if number == 13 and kernel == 0 and subject == 0 else [],
        "console": [f"[    1.{line:06}] line {line} {HOSTILE}" for line in range(40)] if what in ("fail", "error") else [],
    }


def report():
    """Returns the report."""
    rows = [row(number, kernel, subject) for kernel in range(len(KERNELS)) for subject in range(len(SUBJECTS))
            for number in range(BEHAVIOURS) if not (number == 3 and subject > 0)]
    return {
        "version": 2,
        "run": {"kmodlab": "0.1.0", "qemu": "7.2.0", "accelerator": "tcg", "profile": "faithful", "virtual_time": True},
        "results": rows, "skipped_kernels": [{"name": "9.9", "reason": f"no suite offers it {HOSTILE}"}],
        "counts": {"pass": 0, "fail": 0, "known": 0, "skip": 0, "error": 0, "flaky": 0},
        "end": {"interrupted": False, "wall_ms": 61234}, "exit_code": 1,
    }


if __name__ == "__main__":
    print(json.dumps(report()))
