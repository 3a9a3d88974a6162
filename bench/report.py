"""Tables in Markdown, and what they were measured on."""

import datetime
import math
import platform

NAMES = {
    "ocelli": "Ocelli",
    "tensorflow": "TensorFlow",
    "torch": "PyTorch",
    "onnxruntime": "onnxruntime",
    "numpy": "OpenBLAS",
}


def seconds(value):
    """Four digits at most, in the unit that fits."""
    if value is None:
        return "-"
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1 or unit == "µs":
            scaled = value * factor
            digits = max(0, 2 - int(math.floor(math.log10(max(scaled, 1e-9)))))
            return "%.*f %s" % (digits, scaled, unit)
    return "-"


def mebibytes(value):
    return "-" if value is None else "%.0f MiB" % (value / 2**20)


def table(titles, rows):
    lines = ["| %s |" % " | ".join(titles), "| %s |" % " | ".join("---" for _ in titles)]
    lines += ["| %s |" % " | ".join(row) for row in rows]
    return "\n".join(lines) + "\n"


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def comparison(ours, others, goals, show=seconds):
    """Cells for ours and each of `others`, in the order of `goals`, {name: goal or None}: its value
    and how many times ours it is, against the goal."""
    cells = [show(ours)]
    for name, goal in goals.items():
        value = others.get(name)
        if value is None:
            cells.append("-")
            continue
        ratio = value / ours
        text = "%s: **%.2f x**" % (show(value), ratio)
        if goal is not None:
            text += " (goal %g%s)" % (goal, "" if ratio >= goal else ", missed")
        cells.append(text)
    return cells


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            for line in info:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def head(run, command, elapsed):
    about = run.about["ocelli"]
    versions = [run.about[name]["version"] for name in run.about if name != "ocelli"]
    return """# Ocelli and its peers, side by side

Measured by `%s` in %.0f minutes on %s, with %d threads each.

- Device: %s; %s, driver %s
- Processor: %s
- Peers: %s

Times are medians of interleaved rounds (A B A B): each program runs in a process of its own and
is stopped while another one works. Inputs lie in host memory and are fed every step. "x" is how many
times Ocelli's time, or memory, a peer takes.
""" % (
        command,
        elapsed / 60,
        datetime.date.today().isoformat(),
        run.threads,
        about["device"],
        about["platform"],
        about["driver"],
        processor(),
        "; ".join(versions),
    )
