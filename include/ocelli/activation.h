/**
 * What follows the sum of a layer that multiplies: nothing, or ReLU.
 */
#ifndef OCELLI_ACTIVATION_H
#define OCELLI_ACTIVATION_H

typedef enum oce_activation { OCE_ACTIVATION_NONE = 0, OCE_ACTIVATION_RELU = 1 } oce_activation;

#endif
