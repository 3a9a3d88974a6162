"""The sections of the comparison; each gives its table in Markdown."""

import statistics

import report
import sweeps
from workers import interleave, medians

BATCH = {"mnist": 50, "cifar10": 128}
TITLE = {"mnist": "MNIST", "cifar10": "CIFAR-10"}


def titles(first, goals):
    return [first, report.NAMES["ocelli"], *(report.NAMES[name] for name in goals)]


def train(run):
    goals = {
        "cifar10": {"tensorflow": 2.0, "torch": 3.0},
        "mnist": {"tensorflow": 1.8, "torch": 2.8},
    }
    rows = []
    for network, goal in goals.items():
        able = run.compared(
            ["ocelli", *goal], work="train", network=network, batch=BATCH[network]
        )
        least = 0.2 if run.quick else 0.4
        result = medians(interleave(able, run.rounds, least))
        name = "%s, batch %d" % (TITLE[network], BATCH[network])
        rows.append([name, *report.comparison(result["ocelli"], result, goal)])
    return "## A training step\n\n" + report.table(titles("network", goal), rows)


def best_batch(run, name, network, images):
    """The batch that a program answers fastest in, as its user would find it."""
    best, best_seconds = images, None
    for batch in (images, 250, 100, 50):
        able, _ = run.set_up([name], work="infer", network=network, images=images, batch=batch)
        if not able:
            continue
        seconds = min(able[0].seconds(1) for _ in range(3))
        able[0].stop()
        if best_seconds is None or seconds < best_seconds:
            best, best_seconds = batch, seconds
    return best


def infer(run):
    goals = {"tensorflow": 2.5, "onnxruntime": 2.5, "torch": 4.0}
    rows = []
    for network in ("mnist", "cifar10"):
        able, batches = [], {}
        for name in ("ocelli", *goals):
            batches[name] = best_batch(run, name, network, 1000)
            able += run.compared(
                [name], work="infer", network=network, images=1000, batch=batches[name]
            )
        result = medians(interleave(able, run.rounds, 0.1 if run.quick else 0.4))
        cells = report.comparison(result["ocelli"], result, goals)
        order = ("ocelli", *goals)
        cells = ["%s, in %d" % (cell, batches[name]) for cell, name in zip(cells, order)]
        rows.append([TITLE[network], *cells])
    text = 'Each in the batch, of 1,000, 250, 100 and 50, that it is fastest in ("in").\n\n'
    return "## Inference of 1,000 images\n\n" + text + report.table(titles("network", goals), rows)


def latency(run):
    goals = {"onnxruntime": 1.0, "torch": 2.0, "tensorflow": None}
    rows = []
    for network in ("mnist", "cifar10"):
        able = run.compared(["ocelli", *goals], work="infer", network=network, images=1, batch=1)
        result = medians(interleave(able, run.rounds, 0.1 if run.quick else 0.3))
        rows.append([TITLE[network], *report.comparison(result["ocelli"], result, goals)])
    return "## Inference of one image\n\n" + report.table(titles("network", goals), rows)


def start(run):
    """Fresh processes: time to the first step done, and peak memory after some more."""
    goals = {"tensorflow": 5.0, "torch": 5.0}
    times, memory = [], []
    for network in ("mnist", "cifar10"):
        seconds, peaks = {name: [] for name in ("ocelli", *goals)}, {}
        for turn in range(3 if run.quick else 6):
            for name in seconds:
                worker = run.fresh(name)
                worker.request(do="setup", work="train", network=network, batch=BATCH[network])
                if turn > 0:  # the first fills caches, of kernels and of files
                    seconds[name].append(worker.time_since_start())
                worker.request(do="time", runs=10)
                if turn > 0:
                    peaks[name] = max(worker.peak_memory(), peaks.get(name, 0))
                elif name == "ocelli":
                    worker.request(do="store")  # as the command does at its end
                worker.close()
        result = {name: statistics.median(values) for name, values in seconds.items()}
        name = "%s, batch %d" % (TITLE[network], BATCH[network])
        times.append([name, *report.comparison(result["ocelli"], result, goals)])
        goal = {name: 4.0 for name in goals}
        memory.append([name, *report.comparison(peaks["ocelli"], peaks, goal, report.mebibytes)])
    return "\n".join(
        [
            "## From the start of the process to the end of its first training step, warm caches\n",
            report.table(titles("network", goals), times),
            "## Peak memory of a training process (VmHWM), warm caches\n",
            report.table(titles("network", goals), memory),
        ]
    )


ALL = {
    "train": train,
    "infer": infer,
    "latency": latency,
    "start": start,
    "square": sweeps.square,
    "gemm": sweeps.product,
    "conv": sweeps.conv,
    "batch": sweeps.batch,
}
