"""What every peer's worker shares: the protocol that worker.c describes, and the inputs."""

import json
import sys
import time

import numpy as np

NETWORKS = {
    # height, width, channels, scale of a pixel, learning rate, share of units that dropout keeps
    "mnist": (28, 28, 1, 1 / 255, 1e-4, 1.0),
    "cifar10": (32, 32, 3, 1.0, 1e-3, 0.8),
}


def images(network, count):
    """(pixels as float32 [count, H, W, C], labels as int64 [count]), as a user would have them."""
    height, width, channels, scale, *_ = NETWORKS[network]
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    return pixels.astype(np.float32) * np.float32(scale), generator.integers(0, 10, count)


def values(*shape):
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def output_size(request):
    """(OH, OW, padding before, padding after) of a convolution; the paddings as (rows, columns)."""
    sizes, before, after = [], [], []
    for extent, window in ((request["h"], request["r"]), (request["w"], request["s"])):
        stride = request["stride"]
        span = (window - 1) * request["dilation"] + 1
        if request["padding"] == "same":
            size = -(-extent // stride)
            total = max(0, (size - 1) * stride + span - extent)
        else:
            size, total = (extent - span + stride) // stride, 0
        sizes.append(size)
        before.append(total // 2)
        after.append(total - total // 2)
    return sizes[0], sizes[1], before, after


def serve(about, set_up):
    """Answers requests until standard input ends. set_up(request) gives a function that does the
    work once and waits for it."""
    work, out = None, sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no answer
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "setup":
                work = None  # releases its memory first
                work = set_up(request)
                work()
                answer = {"ok": True}
            elif request["do"] == "time":
                start = time.perf_counter()
                for _ in range(request["runs"]):
                    work()
                answer = {"seconds": time.perf_counter() - start}
            else:
                answer = about()
        except Exception as error:  # the driver reports it beside the shape
            answer = {"error": (str(error).splitlines() or [repr(error)])[0][:200]}
        out.write(json.dumps(answer) + "\n")
        out.flush()
