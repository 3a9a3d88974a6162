"""Sections that go over many shapes of one operation, and over batch sizes."""

import math
import statistics

import report
import shapes
from workers import interleave, medians

LIMIT = 0.5  # of oneDNN's speed: none may be slower


def measure(run, names, request):
    """({name: least seconds}, Ocelli's family, {name: problem}). With some hundred shapes some are
    measured while the machine does something else: the least time is what the program needs, and a
    shape that comes out slow is measured again."""
    able, problems = run.set_up(names, **request)
    if "ocelli" in problems or len(able) < 2:
        return {}, "", problems
    rounds, least = (3, 5e-3) if run.quick else (5, 12e-3)
    samples = interleave(able, rounds, least)
    if ratio(minima(samples)) < LIMIT:
        again = interleave(able, 2 * rounds, 2 * least)
        samples = {name: samples[name] + again[name] for name in samples}
    return minima(samples), run.families.get("ocelli", ""), problems


def minima(samples):
    return {name: min(values) for name, values in samples.items()}


def ratio(result):
    """How many times ours the fastest peer's time is."""
    return min(result[name] for name in result if name != "ocelli") / result["ocelli"]


def sweep(run, requests, texts, names):
    """Rows of (text, family, {name: seconds}, ratio of the fastest peer's time to ours)."""
    rows, problems = [], []
    for index, (request, text) in enumerate(zip(requests, texts)):
        if run.match not in text or (run.quick and not run.match and index % 7):
            continue
        result, family, problem = measure(run, ["ocelli", *names], request)
        problems += ["- %s: %s" % (text, line) for line in problem.values()]
        if result:
            rows.append((text, family, result, ratio(result)))
            run.progress("%s: %.2f" % (text, rows[-1][3]))
    return rows, problems


def cells(row, names):
    text, family, result, speed = row
    shown = [report.seconds(result.get(name)) for name in ("ocelli", *names)]
    return [text, family, *shown, "%.2f" % speed]


def summary(rows, problems, names, what):
    """The geometric means, the slow ones, and all of them."""
    if not rows:
        return "No shape was measured.\n"
    titles = ["shape", "family", *(report.NAMES[name] for name in ("ocelli", *names)), "ratio"]
    ratios = [row[3] for row in rows]
    slow = sorted((row for row in rows if row[3] < LIMIT), key=lambda row: row[3])
    means = ["%.2f x the fastest of them" % report.geometric_mean(ratios)]
    for name in names:
        each = [row[2][name] / row[2]["ocelli"] for row in rows if name in row[2]]
        if each:
            below = sum(speed < LIMIT for speed in each)
            of = "%d, %d below %g" % (len(each), below, LIMIT)
            means.append("%.2f x %s (%s)" % (report.geometric_mean(each), report.NAMES[name], of))
    lines = [
        "%d %s, the least time of the rounds." % (len(rows), what),
        "Geometric mean of the ratios: **%s** (goal 1)." % "; ".join(means),
        "Slower than %g of the fastest: **%d** (goal 0);" % (LIMIT, len(slow)),
        "median %.2f, slowest %.2f.\n" % (statistics.median(ratios), min(ratios)),
    ]
    if slow:
        lines += ["Below %g:\n" % LIMIT, report.table(titles, [cells(row, names) for row in slow])]
    if problems:
        lines += ["Not measured:\n", *problems, ""]
    lines += [
        "<details><summary>All</summary>\n",
        report.table(titles, [cells(row, names) for row in rows]),
        "</details>\n",
    ]
    return "\n".join(lines)


def conv(run):
    names = ("torch", "tensorflow")
    requests, texts = [], []
    for shape in shapes.convolutions():
        for name in shapes.passes(shape):
            if name in run.passes:
                requests.append({"work": "conv", "pass": name, **shape})
                texts.append("%s %s" % (name, shapes.conv_text(shape)))
    rows, problems = sweep(run, requests, texts, names)
    return "## Convolutions against oneDNN\n\n" + summary(rows, problems, names, "passes")


def product(run):
    names = ("torch", "tensorflow")
    requests = [{"work": "gemm", **shape} for shape in shapes.products()]
    texts = [shapes.product_text(shape) for shape in shapes.products()]
    rows, problems = sweep(run, requests, texts, names)
    title = "## Matrix products (M x N x K) against oneDNN and MKL\n\n"
    return title + summary(rows, problems, names, "products")


def square(run):
    """Square matrix products against OpenBLAS."""
    rows, speeds = [], []
    sizes = (256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
    if run.quick:
        sizes = (256, 512, 1024, 2048)
    for size in sizes:
        request = {"work": "gemm", "m": size, "n": size, "k": size, "ta": False, "tb": False}
        able = run.compared(["ocelli", "numpy"], **request)
        samples = interleave(able, 5 if run.quick else 9, 0.02 if run.quick else 0.1)
        result = medians(samples)
        speeds.append(result["numpy"] / result["ocelli"])
        gflops = {name: 2e-9 * size**3 / value for name, value in result.items()}
        rows.append(
            [
                str(size),
                "%s (%.0f GFLOPS)" % (report.seconds(result["ocelli"]), gflops["ocelli"]),
                "%s (%.0f GFLOPS)" % (report.seconds(result["numpy"]), gflops["numpy"]),
                "%.2f%s" % (speeds[-1], "" if speeds[-1] >= 0.7 else " (goal 0.7, missed)"),
            ]
        )
    mean = report.geometric_mean(speeds)
    text = "Geometric mean of the speeds against OpenBLAS: **%.2f** (goal 0.9%s).\n\n" % (
        mean,
        "" if mean >= 0.9 else ", missed",
    )
    titles = ["size", "Ocelli", "OpenBLAS", "speed"]
    return "## Square matrix products against OpenBLAS\n\n" + text + report.table(titles, rows)


def batch(run):
    """What an image costs in a training step, from batch 1 on."""
    sizes = [4**i for i in range(6)] if run.quick else [2**i for i in range(11)]
    rows, growths = [], []
    costs = {}
    for network in ("mnist", "cifar10"):
        for size in sizes:
            able, problems = run.set_up(["ocelli"], work="train", network=network, batch=size)
            if problems:
                continue
            samples = interleave(able, 5, 0.05 if run.quick else 0.15)["ocelli"]
            costs[network, size] = statistics.median(samples) / size
        known = [size for size in sizes if (network, size) in costs]
        least = math.inf
        for size in known:
            growths.append(costs[network, size] / min(least, costs[network, size]))
            least = min(least, costs[network, size])
    for size in sizes:
        row = [str(size)]
        for network in ("mnist", "cifar10"):
            cost = costs.get((network, size))
            row += [report.seconds(cost and cost * size), report.seconds(cost)]
        rows.append(row)
    text = (
        "An image never costs more than **%.2f x** what it costs in the best smaller batch (goal: "
        "not more than 1, but for noise).\n\n" % max(growths)
    )
    titles = ["batch", "MNIST, step", "an image", "CIFAR-10, step", "an image"]
    return "## Cost of a training step by batch size\n\n" + text + report.table(titles, rows)
