/** All of Ocelli's public headers. */
#ifndef OCELLI_OCELLI_H
#define OCELLI_OCELLI_H

#include <ocelli/array.h>
#include <ocelli/bench.h>
#include <ocelli/checkpoint.h>
#include <ocelli/conv2d.h>
#include <ocelli/data.h>
#include <ocelli/dense.h>
#include <ocelli/device.h>
#include <ocelli/elementwise.h>
#include <ocelli/gemm.h>
#include <ocelli/image.h>
#include <ocelli/model.h>
#include <ocelli/model_file.h>
#include <ocelli/network.h>
#include <ocelli/optimizer.h>
#include <ocelli/pool.h>
#include <ocelli/selftest.h>
#include <ocelli/softmax.h>
#include <ocelli/status.h>
#include <ocelli/tensor.h>
#include <ocelli/train.h>
#include <ocelli/tune.h>
#include <ocelli/window.h>

#endif
