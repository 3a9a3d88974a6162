"""Saved models between Ocelli and TensorFlow, both ways; `make test-tensorflow` runs it.

    test_checkpoints.py BUILD_FOLDER

Environment: OCELLI_DATA, a folder with the data sets, else ./data; instead of a data set that is not
there the synthetic one is taken.
"""

import filecmp
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # plain convolutions, and no note about others

import numpy as np
import safetensors.numpy
from graphs import Graph, tf

BUILD = Path(sys.argv[1])
OUTPUTS = 100  # images whose logits and probabilities are compared

# Steps before a checkpoint, steps along TensorFlow's losses after it, test images: small enough for
# two slow cores.
SETTINGS = {
    "mnist": {"batch": 50, "steps": 100, "followed": 20, "test": 10000},
    "cifar10": {"batch": 32, "steps": 20, "followed": 10, "test": 2000},
}
# Factor of the pixels and learning rate. With the tutorial's for CIFAR-10, rounding errors grow
# tenfold a step in TensorFlow alone, and its losses can not be followed.
TUTORIAL = {"mnist": (1 / 255, 1e-4), "cifar10": (1, 1e-3)}
FOLLOWED = {"mnist": (1 / 255, 1e-4), "cifar10": (1 / 256, 1e-4)}
DRIFT_AHEAD = 2  # the bound of step t looks at TensorFlow's drift up to step t+2


class NotThere(RuntimeError):
    """A data set is not in a folder."""


def run(*command):
    """Runs a program; its standard output."""
    command = [str(word) for word in command]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        error = NotThere if result.returncode == 3 else RuntimeError
        raise error(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout


class Data:
    """The same examples as arrays and as `ocelli`'s options."""

    def __init__(self, network, folder):
        self.network, self.settings = network, SETTINGS[network]
        self.batch = self.settings["batch"]
        steps = self.settings["steps"] + self.settings["followed"] + DRIFT_AHEAD
        counts = self.batch * steps, self.settings["test"]
        file = folder / f"{network}.npz"
        source, description = self._write_first(network, counts, file)
        print(description)
        arrays = np.load(file)
        self.train = arrays["train_images"], arrays["train_labels"].astype(np.int32)
        self.test = arrays["test_images"], arrays["test_labels"].astype(np.int32)
        self.options = ["--data", source]
        if network == "cifar10":  # the few images that are used
            for part in ("train", "test"):
                records = folder / f"{part}.bin"
                self._write_records(records, arrays[f"{part}_images"], arrays[f"{part}_labels"])
                self.options += [f"--{part}-file", records]

    @staticmethod
    def _write_first(network, counts, file):
        """Writes the first `counts` examples; where they are from, and a line about them."""
        for source in (os.environ.get("OCELLI_DATA") or "data", "synthetic"):
            try:
                line = run(BUILD / "tensorflow/dataset", network, source, *counts, file)
                return source, line.strip()
            except NotThere as missing:
                print(missing)
        raise AssertionError("the synthetic set is always there")

    @staticmethod
    def _write_records(path, images, labels):
        planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        np.hstack([labels[:, None], planes]).tofile(path)

    def batches(self, first, count):
        """`count` batches in file order, from number `first` on."""
        ends = [(t * self.batch, (t + 1) * self.batch) for t in range(first, first + count)]
        return [tuple(part[a:b] for part in self.train) for a, b in ends]


def ocelli_train(data, *options):
    """Runs `ocelli train`; the number of correct test images and the test loss that it printed."""
    printed = run(BUILD / "ocelli", "train", data.network, *data.options, "--quiet", *options)
    accuracy, loss, images = re.search(
        r"^test accuracy ([\d.]+), test loss (\S+) \((\d+) images", printed, re.M
    ).groups()
    assert int(images) == len(data.test[0])
    return round(float(accuracy) * int(images)), float(loss)


def ocelli_losses(data, prefix, log, *options):
    """The losses of a run that starts from a checkpoint, on batches in file order."""
    options = ["--start-from", prefix, "--shuffle", "none", "--batch", data.batch, *options]
    ocelli_train(data, "--log-every", 1, "--log", log, *options)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return np.array([record["loss"] for record in records if "loss" in record])


def ocelli_probabilities(data, prefix, folder):
    images, probabilities = folder / "images.npy", folder / "probabilities.npy"
    np.save(images, data.test[0][:OUTPUTS])
    run(BUILD / "tensorflow/predict", data.network, prefix, images, probabilities)
    return np.load(probabilities)


def same_accuracy(ours, theirs, data):
    """Ten images of 10,000 may differ: where two logits are nearly equal, rounding decides."""
    allowed = len(data.test[0]) // 1000
    text = "%d and %d of %d images correct, loss %.6g and %.6g"
    text %= (ours[0], theirs[0], len(data.test[0]), ours[1], theirs[1])
    print("   ", text)
    assert abs(ours[0] - theirs[0]) <= allowed, text
    assert abs(ours[1] - theirs[1]) <= 1e-4 * theirs[1], text


def same_bytes(prefix, other):
    """Whether two checkpoints are the same, byte for byte."""
    for ending in (".index", ".data-00000-of-00001"):
        assert filecmp.cmp(f"{prefix}{ending}", f"{other}{ending}", shallow=False), ending


# --- What is tested ------------------------------------------------------------------------------


def restores_in_tensorflow(data, folder):
    """Our checkpoint in TensorFlow's graph: the same accuracy, logits, probabilities and bytes."""
    model, steps = folder / "ocelli", data.settings["steps"]
    saving = ["--model-dir", model, "--save-every", steps, "--save-final"]
    trained = ocelli_train(data, "--steps", steps, "--batch", data.batch, *saving)
    restored = ocelli_train(data, "--model-dir", model)
    assert restored == trained, f"{restored} after restoring, {trained} after training"

    prefix = tf.train.latest_checkpoint(str(model))
    assert prefix == str(model / f"model-{steps}"), prefix
    graph = Graph(data.network, *TUTORIAL[data.network])
    graph.restore(prefix)
    same_accuracy(restored, graph.evaluate(*data.test), data)

    ours = ocelli_probabilities(data, prefix, folder)
    logits, probabilities = graph.outputs(data.test[0][:OUTPUTS])
    assert np.abs(ours - probabilities).max() <= 1e-4
    # Logits are the logarithms of the probabilities up to a constant for each image. A probability
    # that is nearly 0 has no digits left to compare.
    largest = logits.argmax(1)[:, None]
    centred = logits - np.take_along_axis(logits, largest, 1)
    there = centred > np.log(1e-30)
    ours = np.log(np.maximum(ours, 1e-30))
    ours -= np.take_along_axis(ours, largest, 1)
    difference = np.abs(ours - centred)[there].max()
    print(f"    logits differ by {difference:.2g} at most ({there.sum()} of {there.size} compared)")
    assert difference <= 1e-4 * max(1, np.abs(logits).max())

    again = graph.save(str(folder / "again/model"), steps)
    same_bytes(prefix, again)
    return prefix


def largest_drift(graph, prefix, batches, exact_losses):
    """How far honest rounding leads TensorFlow from the exact losses, up to each step.

    One run does not tell: where a value is near 0 below a ReLU, or two are nearly equal in a
    pooling window, rounding decides for all later steps. So there are several runs, each from
    variables that are the checkpoint's but for their last bit.
    """
    generator, drift = np.random.default_rng(1), np.zeros(len(batches))
    for _ in range(8):
        graph.restore(prefix)
        graph.change_last_bits(generator)
        drift = np.maximum(drift, np.abs(graph.train(batches) - exact_losses))
    return np.maximum.accumulate(drift)


def continues_in_ocelli(data, folder):
    """TensorFlow's checkpoint in Ocelli: the same accuracy, and on along TensorFlow's losses.

    The truth is TensorFlow's run in float64. The bound of step t is three times the largest drift of
    its float32 runs up to step t+2, plus 2e-6 of the loss. It is for convolutions that add products,
    so not for Winograd's. A run that ignores the optimizer's slots leaves it at once.
    """
    (scale, rate), steps = FOLLOWED[data.network], data.settings["followed"]
    options = ["--conv", "direct"]
    if data.network == "cifar10":
        options += ["--input-scale", scale]
    batches = data.batches(0, steps + DRIFT_AHEAD)
    graph = Graph(data.network, scale, rate)
    graph.initialize()
    graph.train(data.batches(len(batches), data.settings["steps"]))
    prefix = graph.save(str(folder / "tensorflow/model"), data.settings["steps"])
    restored = ocelli_train(data, "--model-dir", folder / "tensorflow", *options)
    same_accuracy(restored, graph.evaluate(*data.test), data)

    exact = Graph(data.network, scale, rate, tf.float64)
    exact.restore_converted(prefix)
    exact_losses = exact.train(batches)
    drift = largest_drift(graph, prefix, batches, exact_losses)
    if data.network == "cifar10":
        options += ["--keep-prob", 1, "--learning-rate", rate]
    ours = ocelli_losses(data, prefix, folder / "log.jsonl", "--steps", steps, *options)
    assert len(ours) == steps

    exact_losses = exact_losses[:steps]
    bounds = 3 * drift[DRIFT_AHEAD:] + 2e-6 * exact_losses
    differences = np.abs(ours - exact_losses)
    worst = (differences / bounds).argmax()
    text = "step %d: loss %.8g, TensorFlow's %.8g, difference %.2g, bound %.2g"
    text %= (worst, ours[worst], exact_losses[worst], differences[worst], bounds[worst])
    print(f"    {steps} steps; nearest to its bound is {text}")
    assert (differences <= bounds).all(), text
    return prefix


def exports_load(data, folder, prefix):
    """safetensors and npz hold what TensorFlow reads from a checkpoint, and lead back to it."""
    reader = tf.train.load_checkpoint(prefix)
    names = set(reader.get_variable_to_shape_map())
    for ending, load in ((".safetensors", safetensors.numpy.load_file), (".npz", np.load)):
        file = folder / f"exported{ending}"
        run(BUILD / "ocelli", "export", prefix, "--to", file)
        arrays = load(file)
        assert set(arrays) == names, f"{ending}: {sorted(set(arrays) ^ names)}"
        for name in names:
            expected = reader.get_tensor(name)
            np.testing.assert_array_equal(arrays[name], expected, f"{ending}: {name}", strict=True)
        run(BUILD / "ocelli", "import", file, "--to", folder / "imported")
        same_bytes(prefix, folder / "imported")


# --- Running -------------------------------------------------------------------------------------

passed, failed = 0, 0


def attempt(name, test, data, folder, *arguments):
    """Runs one test; what it returned, or None after a failure."""
    global passed, failed
    print(f"{data.network}: {name}", flush=True)
    folder.mkdir(parents=True)
    try:
        result = test(data, folder, *arguments)
    except Exception:
        failed += 1
        traceback.print_exc(file=sys.stdout)
        print(f"FAILED {data.network}: {name}", flush=True)
        return None
    passed += 1
    return result


def main():
    with tempfile.TemporaryDirectory() as scratch:
        for network in SETTINGS:
            folder = Path(scratch) / network
            folder.mkdir()
            data = Data(network, folder)
            ours = attempt(
                "our checkpoint restores in TensorFlow",
                restores_in_tensorflow,
                data,
                folder / "ours",
            )
            theirs = attempt(
                "TensorFlow's checkpoint continues here",
                continues_in_ocelli,
                data,
                folder / "theirs",
            )
            for whose, prefix in (("our", ours), ("TensorFlow's", theirs)):
                if prefix is not None:
                    name = f"{whose} checkpoint exported loads in NumPy"
                    attempt(name, exports_load, data, folder / f"{whose} export", prefix)
    print(f"\n{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
