"""onnxruntime's worker: inference of both networks."""

import sys

import numpy as np
import onnxruntime
import peer
from onnx import TensorProto, helper, numpy_helper

THREADS = int(sys.argv[1])

# (filter, channels in, channels out, size of the max pooling of stride 2 that follows or 0), then
# (inputs, units) of the dense layers
LAYERS = {
    "mnist": ([(5, 1, 32, 2), (5, 32, 64, 2)], [(3136, 1024), (1024, 10)]),
    "cifar10": (
        [(5, 3, 64, 3), (5, 64, 64, 3), (3, 64, 128, 0), (3, 128, 128, 0), (3, 128, 128, 0)],
        [(8192, 384), (384, 10)],
    ),
}


def model(network):
    nodes, weights = [], []

    def add(kind, inputs, **attributes):
        name = "t%d" % len(nodes)
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def weight(*shape):
        name = "w%d" % len(weights)
        weights.append(numpy_helper.from_array(peer.values(*shape) * np.float32(0.05), name))
        return name

    convolutions, dense = LAYERS[network]
    x = "images"
    for size, channels, filters, pool in convolutions:
        inputs = [x, weight(filters, channels, size, size), weight(filters)]
        x = add("Relu", [add("Conv", inputs, pads=[size // 2] * 4)])
        if pool:
            x = add(
                "MaxPool", [x], kernel_shape=[pool] * 2, strides=[2, 2], auto_pad="SAME_UPPER"
            )
    x = add("Flatten", [x])
    for index, (inputs, units) in enumerate(dense):
        x = add("Gemm", [x, weight(inputs, units), weight(units)])
        if index == 0:
            x = add("Relu", [x])
    x = add("Softmax", [x], axis=1)
    height, width, channels, *_ = peer.NETWORKS[network]
    shape = ["batch", channels, height, width]
    graph = helper.make_graph(
        nodes,
        network,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def set_up(request):
    if request["work"] != "infer":
        raise ValueError("onnxruntime is measured on inference only")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model(request["network"]), options, providers=["CPUExecutionProvider"]
    )
    pixels, _ = peer.images(request["network"], request["images"])
    pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))  # the order it computes in
    batch = request["batch"]

    def run():
        for first in range(0, len(pixels), batch):
            session.run(None, {"images": pixels[first : first + batch]})

    return run


peer.serve(lambda: {"version": "onnxruntime %s" % onnxruntime.__version__}, set_up)
