/*
 * A network planned for one batch size: shapes, one operation plan a layer and pass, the places of
 * its buffers in the memory plan; and the forward and backward pass over it.
 */
#ifndef OCE_NN_GRAPH_H
#define OCE_NN_GRAPH_H

#include "nn/memory.h"

#include <ocelli/dense.h>
#include <ocelli/model.h>
#include <ocelli/network.h>
#include <ocelli/pool.h>

/* Parameters and gradients lie in blocks; each variable starts at a multiple of this many floats.
 */
enum { OCE_VARIABLE_ALIGNMENT = 64 };

/* A variable and its place in the blocks. */
typedef struct oce_slot {
    oce_variable variable;
    float stddev;  /* weights: of the truncated normal */
    float start;   /* biases */
    size_t offset; /* floats from the start of a block */
    int64_t panel; /* dense weights: columns of the panels that they, their gradient and slots are
                      stored in (oce_dense_panel); 0: rows, as all others */
} oce_slot;

enum { OCE_LABEL_BYTES = 64, OCE_GRAD_BUFFERS = 3 };

/* One layer, planned. */
typedef struct oce_node {
    const oce_layer *layer;
    int64_t input[3]; /* height, width, channels */
    int64_t output[3];
    int weights, bias;     /* indices of its variables, -1: none */
    bool needs_input_grad; /* a layer below has variables */
    bool
        fuses_relu_grad; /* max pool right above a ReLU convolution: applies that ReLU's gradient */
    int64_t strip;       /* conv: images computed at a time, together with the pool above; else 0 */
    bool is_pooled;      /* conv: its forward pass computes the pool above too, and no output */
    oce_conv2d_plan *conv;
    oce_conv2d_plan *conv_grad; /* its gradients, where is_pooled; else NULL: conv has them */
    oce_pool_plan *pool;
    oce_gemm_plan *gemm_forward, *gemm_input_grad, *gemm_filter_grad;
    oce_halo halo;       /* of its output */
    int output_buffer;   /* in the memory plan; a dropout layer works in place: its input's */
    int winners_buffer;  /* max pool in training, else -1 */
    int prepared_buffer; /* without training: filter or weights, prepared; -1: none */
    int input_grad_buffer, strip_grad_buffer; /* of the gradients of its input and, with strips, of
                                                 a strip of its output; -1 */
    bool is_overwritten; /* its output is: the backward pass puts a gradient there */
    oce_tensor output_tensor;
    char forward_label[OCE_LABEL_BYTES], grad_label[OCE_LABEL_BYTES], /* for the profile */
        filter_label[OCE_LABEL_BYTES];
} oce_node;

/* A family that was asked for by name. */
typedef struct oce_asked_family {
    bool serves;       /* something of the network */
    char refusal[200]; /* why it does not serve what it was tried for first */
} oce_asked_family;

typedef struct oce_graph {
    oce_device *device;
    const oce_network *network;
    int64_t batch; /* images a pass */
    bool training;
    oce_node *nodes;
    int node_count;
    oce_slot *slots;
    int slot_count;
    size_t block; /* floats of a parameter block */
    oce_halo input_halo;
    int input_buffer, workspace_buffer; /* in the memory plan */
    int grad_buffer[OCE_GRAD_BUFFERS];  /* of gradients of activations, that of the logits in the
                                           first; -1 */
    int strip_gradients_buffer;         /* of a strip's variables; -1 */
    oce_tensor input;                   /* [batch, H, W, C] */
    oce_asked_family asked_conv2d, asked_gemm;
    bool has_head;    /* see oce_graph_plan_head() */
    int head_parts;   /* the dense layer whose partial sums the head adds up, -1: none */
    bool is_prepared; /* the prepared weights are those of the parameters */
} oce_graph;

/* Plans everything and adds the graph's buffers to `memory`. On failure the graph can be released.
 */
oce_status oce_graph_plan(oce_graph *graph, oce_device *device, const oce_network *network,
                          const oce_model_options *options, oce_memory *memory);

/* The part of oce_graph_plan() that decides, when all nodes are planned, whether the last layer is
 * computed together with what is asked of its logits, and with the last addition of the dense layer
 * before it: without training, and for a few images on a CPU, where each launch counts. */
void oce_graph_plan_head(oce_graph *graph);

/* The part of oce_graph_plan() that adds buffers, when all nodes are planned. */
oce_status oce_graph_plan_memory(oce_graph *graph, oce_memory *memory);

/* The part of oce_graph_plan_memory() for the backward pass, when the outputs have buffers. */
oce_status oce_graph_plan_gradients(oce_graph *graph, oce_memory *memory);

/* Whether the node's output, a strip that is not needed for long, lies in a gradient buffer. */
bool oce_node_shares_output(const oce_graph *graph, const oce_node *node);

/* Makes the tensors, once the memory is allocated. */
oce_status oce_graph_bind(oce_graph *graph, const oce_memory *memory);

void oce_graph_release(oce_graph *graph);

/* Tensor of variable `index` within `block`. */
oce_status oce_graph_variable(const oce_graph *graph, int index, oce_buffer *block,
                              oce_tensor *tensor);

/* The plan that has a convolution node's gradients. */
oce_conv2d_plan *oce_node_gradients(const oce_node *node);

/* Forward pass of a convolution node to its output tensor. */
oce_status oce_node_convolve(const oce_node *node, const oce_memory *memory, const oce_tensor *x,
                             const oce_tensor *weights, const oce_tensor *bias,
                             oce_buffer *workspace);

/* What a pass needs to know about dropout. */
typedef struct oce_dropout_state {
    bool is_on;
    float keep_prob; /* replaces that of the layers; 0: theirs */
    uint64_t seed;
    uint32_t step;
    int64_t first_image; /* of this pass within the step's batch */
} oce_dropout_state;

/* Runs all layers from graph->input on; the logits are then the last node's output_tensor, or, with
 * a head, will be once one of the following two is called. */
oce_status oce_graph_forward(oce_graph *graph, const oce_memory *memory, oce_buffer *parameters,
                             const oce_dropout_state *dropout);

/* After a forward pass without training: the probabilities of the first rows take the place of
 * `logits`, a part of the last node's output_tensor. */
oce_status oce_graph_softmax(oce_graph *graph, const oce_memory *memory, oce_buffer *parameters,
                             const oce_tensor *logits);

/* The same for loss and hits, of labels from byte `labels_first` on, and for the predicted classes
 * (NULL: not wanted): oce_softmax_xent_classes() without a gradient. */
oce_status oce_graph_metrics(oce_graph *graph, const oce_memory *memory, oce_buffer *parameters,
                             const oce_tensor *logits, const oce_buffer *labels,
                             size_t labels_first, oce_buffer *sums, size_t slot,
                             oce_buffer *predictions);

/* The logits' gradient buffer as a tensor [batch, 1, 1, classes], to be filled before the backward
 * pass. */
oce_status oce_graph_logits_grad(const oce_graph *graph, const oce_memory *memory,
                                 oce_tensor *tensor);

/* From the logits' gradient to those of all variables, written to `gradients`. */
oce_status oce_graph_backward(oce_graph *graph, const oce_memory *memory, oce_buffer *parameters,
                              oce_buffer *gradients, const oce_dropout_state *dropout);

/* Floats of the part of a block that the variables of a layer take, gaps between them included. */
size_t oce_node_block(const oce_graph *graph, const oce_node *node);

/* Multiply-adds x 2 of one image. */
double oce_node_forward_flops(const oce_node *node);
double oce_node_training_flops(const oce_node *node);

#endif
