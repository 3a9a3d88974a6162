"""TensorFlow's worker: the tutorial's graphs under tf.compat.v1, and single operations."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "tensorflow"))

import graphs  # noqa: E402
import numpy as np  # noqa: E402
import peer  # noqa: E402
import tensorflow as tf2  # noqa: E402
import tensorflow.compat.v1 as tf  # noqa: E402

THREADS = int(sys.argv[1])
CONFIG = tf.ConfigProto(intra_op_parallelism_threads=THREADS, inter_op_parallelism_threads=THREADS)


def network(request, keep_prob):
    *_, scale, rate, _ = peer.NETWORKS[request["network"]]
    graph = graphs.Graph(request["network"], scale, rate, keep_prob=keep_prob, config=CONFIG)
    graph.initialize()
    return graph


def train(request):
    graph = network(request, peer.NETWORKS[request["network"]][5])
    pixels, labels = peer.images(request["network"], request["batch"])
    feed = {graph.images: pixels, graph.labels: labels}
    return lambda: graph.session.run(graph.step, feed)


def infer(request):
    graph = network(request, 1.0)
    pixels, _ = peer.images(request["network"], request["images"])
    batch = request["batch"]

    def run():
        for first in range(0, len(pixels), batch):
            graph.session.run(
                graph.probabilities, {graph.images: pixels[first : first + batch]}
            )

    return run


def operation(build):
    """A function that runs the operation build() makes on constants held by variables."""
    with tf.Graph().as_default() as graph:
        result = build()
        session = tf.Session(graph=graph, config=CONFIG)
        session.run(tf.global_variables_initializer())
        return session.make_callable(result.op)


def held(*shape):
    return tf.Variable(tf.random_uniform(shape, -1, 1, seed=1), use_resource=False)


def gemm(request):
    m, n, k, ta, tb = (request[key] for key in ("m", "n", "k", "ta", "tb"))
    return operation(
        lambda: tf.matmul(
            held(*((k, m) if ta else (m, k))),
            held(*((n, k) if tb else (k, n))),
            transpose_a=ta,
            transpose_b=tb,
        )
    )


def conv(request):
    n, h, w, c, k, r, s = (request[key] for key in "nhwckrs")
    out_h, out_w, _, _ = peer.output_size(request)
    options = {
        "strides": [1, request["stride"], request["stride"], 1],
        "dilations": [1, request["dilation"], request["dilation"], 1],
        "padding": request["padding"].upper(),
    }
    x, f, y = (n, h, w, c), (r, s, c, k), (n, out_h, out_w, k)
    if request["pass"] == "fwd":
        return operation(lambda: tf.nn.conv2d(held(*x), held(*f), **options))
    if request["pass"] == "dgrad":
        return operation(lambda: tf.nn.conv2d_backprop_input(x, held(*f), held(*y), **options))
    return operation(lambda: tf.nn.conv2d_backprop_filter(held(*x), f, held(*y), **options))


WORKS = {"train": train, "infer": infer, "gemm": gemm, "conv": conv}
peer.serve(
    lambda: {"version": "TensorFlow %s (NumPy %s)" % (tf2.__version__, np.__version__)},
    lambda request: WORKS[request["work"]](request),
)
