"""PyTorch's worker: both networks in channels_last, and single operations."""

import sys

import peer
import torch
from torch.nn import functional

THREADS = int(sys.argv[1])
torch.set_num_threads(THREADS)
torch.set_num_interop_threads(1)
torch.manual_seed(1)


class Mnist(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 32, 5, padding=2)
        self.conv2 = torch.nn.Conv2d(32, 64, 5, padding=2)
        self.dense1 = torch.nn.Linear(7 * 7 * 64, 1024)
        self.dense2 = torch.nn.Linear(1024, 10)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return self.dense2(functional.relu(self.dense1(x.flatten(1))))


class Cifar10(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 64, 5, padding=2)
        self.conv2 = torch.nn.Conv2d(64, 64, 5, padding=2)
        self.conv3 = torch.nn.Conv2d(64, 128, 3, padding=1)
        self.conv4 = torch.nn.Conv2d(128, 128, 3, padding=1)
        self.conv5 = torch.nn.Conv2d(128, 128, 3, padding=1)
        self.dense1 = torch.nn.Linear(8 * 8 * 128, 384)
        self.dropout = torch.nn.Dropout(1 - peer.NETWORKS["cifar10"][5])
        self.dense2 = torch.nn.Linear(384, 10)

    def forward(self, x):
        # SAME pads a 3x3 window of stride 2 at the end only, which is what ceil_mode does
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 3, 2, ceil_mode=True)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 3, 2, ceil_mode=True)
        x = functional.relu(self.conv3(x))
        x = functional.relu(self.conv4(x))
        x = functional.relu(self.conv5(x))
        return self.dense2(self.dropout(functional.relu(self.dense1(x.flatten(1)))))


def network(request):
    model = Mnist() if request["network"] == "mnist" else Cifar10()
    return model.to(memory_format=torch.channels_last)


def nhwc(array):
    """NHWC in memory, without a copy: what PyTorch calls channels_last."""
    return torch.from_numpy(array).permute(0, 3, 1, 2)


def train(request):
    model = network(request)
    pixels, labels = peer.images(request["network"], request["batch"])
    rate = peer.NETWORKS[request["network"]][4]
    if request["network"] == "mnist":
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    else:
        optimizer = torch.optim.RMSprop(model.parameters(), lr=rate, alpha=0.9, eps=1e-10)

    def run():
        optimizer.zero_grad()
        logits = model(nhwc(pixels))
        functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
        optimizer.step()

    return run


def infer(request):
    model = network(request).eval()
    pixels, _ = peer.images(request["network"], request["images"])
    batch = request["batch"]

    def run():
        with torch.inference_mode():
            for first in range(0, len(pixels), batch):
                logits = model(nhwc(pixels[first : first + batch]))
                functional.softmax(logits, 1).numpy()

    return run


def random(*shape):
    return torch.rand(shape) * 2 - 1


def keep_freed_memory():
    """Lets malloc() keep what the last call's output took, as in a process that has run for a while:
    glibc moves its thresholds when it frees a large block. Otherwise every call pays for new pages,
    ten times the convolution's own time."""
    torch.empty(31 << 18)  # floats, so 31 MB


def gemm(request):
    m, n, k, ta, tb = (request[key] for key in ("m", "n", "k", "ta", "tb"))
    a = random(k, m).t() if ta else random(m, k)
    b = random(n, k).t() if tb else random(k, n)
    out = torch.empty(m, n)
    return lambda: torch.mm(a, b, out=out)


def conv(request):
    """As a layer's module would call it: tensors in channels_last; PyTorch pads evenly only, so an
    uneven SAME padding is cut down to its smaller half and the rest added to the image."""
    n, h, w, c, k, r, s = (request[key] for key in "nhwckrs")
    out_h, out_w, before, after = peer.output_size(request)
    extra = [b - a for a, b in zip(before, after)]
    layout = {"memory_format": torch.channels_last}
    x = random(n, c, h + extra[0], w + extra[1]).contiguous(**layout)
    f = random(k, c, r, s).contiguous(**layout)
    stride, dilation = [request["stride"]] * 2, [request["dilation"]] * 2
    keep_freed_memory()
    if request["pass"] == "fwd":
        bias = random(k)

        def forward():
            with torch.inference_mode():
                functional.conv2d(x, f, bias, stride, before, dilation)

        return forward
    y = random(n, k, out_h, out_w).contiguous(**layout)
    mask = [request["pass"] == "dgrad", request["pass"] == "wgrad", False]
    return lambda: torch.ops.aten.convolution_backward(
        y, x, f, None, stride, before, dilation, False, [0, 0], 1, mask
    )


WORKS = {"train": train, "infer": infer, "gemm": gemm, "conv": conv}
peer.serve(
    lambda: {"version": "PyTorch %s" % torch.__version__},
    lambda request: WORKS[request["work"]](request),
)
