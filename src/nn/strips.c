/*
 * A convolution right below a max pool computes on a CPU some images at a time, a strip, which the
 * pool takes from the cache: forward, unless one launch does both (ops/conv2d_pool.h), as backward
 * nothing of the convolution's output is needed longer. So the largest activations of a network are
 * neither kept nor moved through memory. The images of a strip depend on the shape only, as sums
 * over a batch are split by them.
 */
#include "nn/strips.h"

#include "base/size.h"
#include "base/status.h"
#include "device/device.h"
#include "ops/pool_images.h"

#include <ocelli/elementwise.h>

/* Bytes of a strip's output, at most: what stays in a cache of the last level. Smaller strips,
 * whose outputs would fit the caches of single cores, do not meet them there: another core pools
 * them than computed them. */
enum { STRIP_BYTES = 4 << 20 };

static bool is_followed_by_max_pool(const oce_graph *graph, int index) {
    const oce_network *network = graph->network;
    return index + 1 < network->layer_count &&
           network->layers[index + 1].kind == OCE_LAYER_MAX_POOL;
}

int64_t oce_strip_of_batch(const oce_device *device, int64_t batch, const int64_t output[3]) {
    const int64_t dim[4] = {batch, output[0], output[1], output[2]};
    size_t elements = 0;
    if (!oce_device_limits(device)->is_cpu || oce_tensor_elements(dim, NULL, &elements) != OCE_OK)
        return 0;
    const size_t bytes = elements * sizeof(float);
    for (int64_t strips = 2; bytes > STRIP_BYTES && strips <= batch; strips++)
        if (batch % strips == 0 && bytes / (size_t)strips <= STRIP_BYTES)
            return batch / strips;
    return 0;
}

int64_t oce_strip_images(const oce_graph *graph, int index, const int64_t output[3]) {
    return is_followed_by_max_pool(graph, index)
               ? oce_strip_of_batch(graph->device, graph->batch, output)
               : 0;
}

/* The tensor's images from first on, as many as a strip has. */
static oce_tensor strip_of(const oce_tensor *tensor, int64_t first, int64_t images) {
    oce_tensor strip = *tensor;
    strip.offset += (size_t)(first * tensor->stride[0]);
    strip.dim[0] = images;
    return strip;
}

oce_status oce_strips_forward(oce_graph *graph, int index, const oce_memory *memory,
                              const oce_tensor *x, const oce_tensor *weights,
                              const oce_tensor *bias) {
    const oce_node *conv = &graph->nodes[index], *pool = conv + 1;
    oce_buffer *workspace = oce_memory_buffer(memory, graph->workspace_buffer);
    const double flops = oce_node_forward_flops(conv) * (double)conv->strip;
    for (int64_t first = 0; first < graph->batch; first += conv->strip) {
        const oce_tensor part = strip_of(x, first, conv->strip);
        oce_device_label(graph->device, conv->forward_label, flops);
        OCE_TRY(oce_node_convolve(conv, memory, &part, weights, bias, workspace));
        oce_device_label(graph->device, pool->forward_label, 0);
        OCE_TRY(oce_pool_forward_images(pool->pool, first, conv->strip, &conv->output_tensor,
                                        &pool->output_tensor,
                                        oce_memory_buffer(memory, pool->winners_buffer)));
    }
    return OCE_OK;
}

/* The gradients of the convolution's weights and bias from one strip, and of its input. */
static oce_status grad_strip(oce_graph *graph, int index, const oce_strips_grad *g, int64_t first,
                             const oce_tensor *dy, const oce_tensor *dweights,
                             const oce_tensor *dbias) {
    const oce_node *conv = &graph->nodes[index], *pool = conv + 1;
    oce_buffer *workspace = oce_memory_buffer(g->memory, graph->workspace_buffer);
    const double flops = oce_node_forward_flops(conv) * (double)conv->strip;
    const oce_tensor x = strip_of(g->x, first, conv->strip);
    oce_device_label(graph->device, pool->grad_label, 0);
    OCE_TRY(oce_pool_grad_images(pool->pool, first, conv->strip, g->dy,
                                 oce_memory_buffer(g->memory, pool->winners_buffer),
                                 pool->fuses_relu_grad ? &pool->output_tensor : NULL, dy));
    oce_device_label(graph->device, conv->filter_label, flops);
    OCE_TRY(oce_bias_grad(graph->device, dy, dbias, workspace));
    OCE_TRY(oce_conv2d_filter_grad(oce_node_gradients(conv), &x, dy, dweights, workspace));
    if (!conv->needs_input_grad)
        return OCE_OK;
    const oce_tensor dx = strip_of(g->dx, first, conv->strip);
    oce_device_label(graph->device, conv->grad_label, flops);
    return oce_conv2d_input_grad(oce_node_gradients(conv), dy, g->weights, &dx, workspace);
}

/* Weights and bias of a layer as one tensor: they lie next to each other in a block. */
static oce_status layer_part(const oce_graph *graph, const oce_node *node, oce_buffer *block,
                             size_t at, oce_tensor *tensor) {
    const int64_t dim[4] = {1, 1, 1, (int64_t)oce_node_block(graph, node)};
    return oce_tensor_view(block, at, dim, NULL, tensor);
}

oce_status oce_strips_backward(oce_graph *graph, int index, const oce_strips_grad *g) {
    const oce_node *conv = &graph->nodes[index];
    const oce_slot *weights = &graph->slots[conv->weights], *bias = &graph->slots[conv->bias];
    oce_buffer *strip_gradients = oce_memory_buffer(g->memory, graph->strip_gradients_buffer);
    const int64_t dy_dim[4] = {conv->strip, conv->output[0], conv->output[1], conv->output[2]};
    oce_tensor dy, total, part, dweights, dbias;
    OCE_TRY(oce_tensor_view(oce_memory_buffer(g->memory, conv->strip_grad_buffer), 0, dy_dim, NULL,
                            &dy));
    OCE_TRY(layer_part(graph, conv, g->gradients, weights->offset, &total));
    OCE_TRY(layer_part(graph, conv, strip_gradients, 0, &part));
    OCE_TRY(oce_graph_variable(graph, conv->weights, g->gradients, &dweights));
    OCE_TRY(oce_graph_variable(graph, conv->bias, g->gradients, &dbias));
    for (int64_t first = 0; first < graph->batch; first += conv->strip) {
        OCE_TRY(grad_strip(graph, index, g, first, &dy, &dweights, &dbias));
        if (first > 0)
            OCE_TRY(oce_add(graph->device, &part, &total));
        dweights.buffer = dbias.buffer = strip_gradients;
        dweights.offset = 0;
        dbias.offset = bias->offset - weights->offset;
    }
    return OCE_OK;
}
