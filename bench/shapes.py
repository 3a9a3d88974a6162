"""The shapes of the sweeps: those of known networks, then drawn ones, the same in every run."""

import random

KEYS = ("n", "h", "w", "c", "k", "r", "s", "stride", "dilation", "padding")
PASSES = ("fwd", "dgrad", "wgrad")

# n, h, w, c, k, r, s, stride, dilation, padding
KNOWN = [
    # the two networks that ship with Ocelli
    (50, 28, 28, 1, 32, 5, 5, 1, 1, "same"),
    (50, 14, 14, 32, 64, 5, 5, 1, 1, "same"),
    (128, 32, 32, 3, 64, 5, 5, 1, 1, "same"),
    (128, 16, 16, 64, 64, 5, 5, 1, 1, "same"),
    (128, 8, 8, 64, 128, 3, 3, 1, 1, "same"),
    (128, 8, 8, 128, 128, 3, 3, 1, 1, "same"),
    # LeNet, AlexNet
    (64, 28, 28, 1, 6, 5, 5, 1, 1, "same"),
    (64, 14, 14, 6, 16, 5, 5, 1, 1, "valid"),
    (4, 224, 224, 3, 64, 11, 11, 4, 1, "same"),
    (4, 27, 27, 64, 192, 5, 5, 1, 1, "same"),
    (4, 13, 13, 192, 384, 3, 3, 1, 1, "same"),
    # VGG
    (1, 224, 224, 3, 64, 3, 3, 1, 1, "same"),
    (1, 112, 112, 64, 128, 3, 3, 1, 1, "same"),
    (1, 56, 56, 128, 256, 3, 3, 1, 1, "same"),
    (1, 28, 28, 256, 512, 3, 3, 1, 1, "same"),
    (2, 14, 14, 512, 512, 3, 3, 1, 1, "same"),
    # ResNet
    (2, 224, 224, 3, 64, 7, 7, 2, 1, "same"),
    (4, 56, 56, 64, 64, 1, 1, 1, 1, "same"),
    (4, 56, 56, 64, 64, 3, 3, 1, 1, "same"),
    (4, 56, 56, 64, 256, 1, 1, 1, 1, "same"),
    (4, 56, 56, 64, 128, 3, 3, 2, 1, "same"),
    (4, 56, 56, 256, 128, 1, 1, 2, 1, "same"),
    (4, 28, 28, 128, 128, 3, 3, 1, 1, "same"),
    (4, 28, 28, 128, 256, 3, 3, 2, 1, "same"),
    (4, 14, 14, 256, 256, 3, 3, 1, 1, "same"),
    (4, 14, 14, 256, 512, 1, 1, 2, 1, "same"),
    (8, 7, 7, 512, 512, 3, 3, 1, 1, "same"),
    # Inception's long windows
    (4, 17, 17, 128, 128, 1, 7, 1, 1, "same"),
    (4, 17, 17, 128, 192, 7, 1, 1, 1, "same"),
    (4, 8, 8, 384, 384, 1, 3, 1, 1, "same"),
    (4, 35, 35, 48, 64, 5, 5, 1, 1, "same"),
    (4, 147, 147, 32, 64, 3, 3, 1, 1, "same"),
    # MobileNet's pointwise layers, DenseNet's growth
    (4, 112, 112, 32, 16, 1, 1, 1, 1, "same"),
    (4, 56, 56, 24, 144, 1, 1, 1, 1, "same"),
    (4, 14, 14, 96, 512, 1, 1, 1, 1, "same"),
    (4, 28, 28, 128, 32, 3, 3, 1, 1, "same"),
    (4, 14, 14, 144, 24, 3, 3, 1, 1, "same"),
    # DeepLab's and WaveNet's dilated windows
    (2, 33, 33, 256, 64, 3, 3, 1, 2, "same"),
    (2, 33, 33, 256, 64, 3, 3, 1, 4, "same"),
    (2, 65, 65, 64, 64, 3, 3, 1, 6, "same"),
    (8, 1, 224, 32, 64, 1, 2, 1, 8, "same"),
    # DCGAN, U-Net, super-resolution, segmentation heads
    (32, 32, 32, 64, 128, 4, 4, 2, 1, "same"),
    (32, 16, 16, 128, 256, 4, 4, 2, 1, "same"),
    (1, 128, 128, 64, 64, 3, 3, 1, 1, "valid"),
    (1, 96, 96, 1, 64, 9, 9, 1, 1, "same"),
    (1, 96, 96, 32, 3, 5, 5, 1, 1, "same"),
    (2, 64, 64, 64, 21, 1, 1, 1, 1, "same"),
    # extremes
    (1, 1, 1, 512, 512, 1, 1, 1, 1, "same"),
    (256, 1, 1, 512, 512, 1, 1, 1, 1, "same"),
    (256, 4, 4, 128, 128, 3, 3, 1, 1, "same"),
    (1, 224, 224, 1, 1, 3, 3, 1, 1, "same"),
    (256, 8, 8, 1, 1, 3, 3, 1, 1, "same"),
    (16, 32, 32, 512, 1, 3, 3, 1, 1, "same"),
    (16, 32, 32, 1, 512, 3, 3, 1, 1, "same"),
    (1, 11, 11, 64, 64, 11, 11, 1, 1, "valid"),
    (8, 32, 32, 16, 16, 11, 11, 1, 1, "same"),
    (1, 7, 7, 512, 512, 7, 7, 1, 1, "valid"),
]

COUNT = 160
MOST_FLOPS, LEAST_FLOPS, MOST_ELEMENTS = 2.5e9, 2e5, 3e7


def outputs(shape):
    """(OH, OW) of a convolution; not positive where the window does not fit."""
    sizes = []
    for extent, window in ((shape["h"], shape["r"]), (shape["w"], shape["s"])):
        span = (window - 1) * shape["dilation"] + 1
        inside = extent if shape["padding"] == "same" else extent - span + 1
        sizes.append(-(-inside // shape["stride"]))
    return sizes


def flops(shape):
    out_h, out_w = outputs(shape)
    window = shape["r"] * shape["s"]
    return 2.0 * shape["n"] * out_h * out_w * window * shape["c"] * shape["k"]


def draw(generator):
    channels = [1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, 100, 127]
    channels += [128, 130, 192, 200, 255, 256, 320, 384, 511, 512]
    size = generator.choice([1, 2, 3, 3, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11])
    image = generator.choice([1, 2, 3, 5, 7, 8, 9, 13, 14, 15, 16, 19, 24, 28, 31, 32, 37, 48, 56]
                             + [63, 64, 75, 96, 112, 128, 150, 200, 224])
    is_square = generator.random() < 0.75
    values = (
        generator.choice([1, 1, 2, 3, 4, 8, 10, 16, 25, 32, 50, 64, 100, 128, 256]),
        image,
        image if is_square else max(1, image - generator.randrange(1, 12)),
        generator.choice(channels),
        generator.choice(channels),
        size,
        size if is_square else generator.choice([1, 2, 3, 5, 7]),
        generator.choice([1, 1, 1, 1, 2, 2, 3, 4]),
        generator.choice([1, 1, 1, 1, 1, 2, 3, 4]),
        generator.choice(["same", "same", "valid"]),
    )
    return dict(zip(KEYS, values))


def is_fit(shape):
    out_h, out_w = outputs(shape)
    if min(out_h, out_w) < 1 or not LEAST_FLOPS <= flops(shape) <= MOST_FLOPS:
        return False
    x = shape["n"] * shape["h"] * shape["w"] * shape["c"]
    y = shape["n"] * out_h * out_w * shape["k"]
    return max(x, y) <= MOST_ELEMENTS


def convolutions():
    """Dictionaries with the KEYS."""
    shapes = [dict(zip(KEYS, known)) for known in KNOWN]
    generator = random.Random(6)
    while len(shapes) < COUNT:
        shape = draw(generator)
        if is_fit(shape) and shape not in shapes:
            shapes.append(shape)
    return shapes


def passes(shape):
    """The passes that a program would want: no gradient with respect to pictures."""
    return [name for name in PASSES if name != "dgrad" or shape["c"] > 3]


def products():
    """Matrix products: the two networks' dense layers, then drawn ones, 1 to 4096."""
    dense = [(50, 1024, 3136), (50, 10, 1024), (128, 384, 8192), (128, 10, 384)]
    shapes = []
    for batch, outputs_, inputs in dense:
        shapes.append((batch, outputs_, inputs, False, False))
        shapes.append((batch, inputs, outputs_, False, True))
        shapes.append((inputs, outputs_, batch, True, False))
    for size in (1, 3, 16, 31, 64, 100, 127, 129, 255, 333, 500, 777, 1000):
        shapes.append((size, size, size, False, False))
    for vector in ((1, 4096, 4096), (4096, 1, 4096), (4096, 4096, 1), (1, 1, 4096), (7, 4096, 7)):
        shapes += [(*vector, False, False), (*vector, True, True)]
    extents = [1, 2, 3, 5, 8, 10, 17, 32, 50, 63, 64, 100, 127, 128, 200, 255, 256, 384, 511, 512]
    extents += [1000, 1023, 1024, 2047, 2048, 3136, 4095, 4096]
    generator = random.Random(7)
    while len(shapes) < 80:
        m, n, k = (generator.choice(extents) for _ in range(3))
        if 1e4 <= 2.0 * m * n * k <= 4e9:
            shapes.append((m, n, k, generator.random() < 0.3, generator.random() < 0.3))
    return [dict(zip(("m", "n", "k", "ta", "tb"), shape)) for shape in shapes]


def conv_text(shape):
    text = "%(n)d x %(h)d x %(w)d x %(c)d, %(r)d x %(s)d to %(k)d" % shape
    if shape["stride"] > 1:
        text += ", stride %d" % shape["stride"]
    if shape["dilation"] > 1:
        text += ", dilation %d" % shape["dilation"]
    return text + (", valid" if shape["padding"] == "valid" else "")


def product_text(shape):
    sides = ("A^T" if shape["ta"] else "A") + (" B^T" if shape["tb"] else " B")
    return "%(m)d x %(n)d x %(k)d, " % shape + sides
