/* What the tuning table says of a convolution. */
#include "ops/conv2d_dot.h"
#include "ops/conv2d_tiles.h"
#include "ops/winograd_pass.h"

#include "device/tuning.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

const char *oce_conv2d_operation(oce_pass pass) {
    return pass == OCE_PASS_FORWARD      ? "conv2d forward"
           : pass == OCE_PASS_INPUT_GRAD ? "conv2d input gradient"
                                         : "conv2d filter gradient";
}

void oce_conv2d_shape_text(const oce_conv2d_shape *shape, oce_pass pass,
                           char text[OCE_CONV2D_TEXT]) {
    const oce_window_geometry *g = &shape->window;
    const bool is_prepared = shape->keeps_filter && pass == OCE_PASS_FORWARD;
    snprintf(text, OCE_CONV2D_TEXT,
             "n=%lld h=%lld w=%lld c=%lld k=%lld window=%lldx%lld stride=%lldx%lld "
             "dilation=%lldx%lld before=%lldx%lld after=%lldx%lld%s%s",
             (long long)shape->batch, (long long)g->input[0], (long long)g->input[1],
             (long long)shape->channels, (long long)shape->filters, (long long)g->size[0],
             (long long)g->size[1], (long long)g->stride[0], (long long)g->stride[1],
             (long long)g->dilation[0], (long long)g->dilation[1], (long long)g->before[0],
             (long long)g->before[1], (long long)g->after[0], (long long)g->after[1],
             shape->no_winograd ? " winograd=off" : "", is_prepared ? " prepared=1" : "");
}

/* A positive number of a configuration; 0: it has none, -1: it is none that could be. */
static int number(const char *configuration, const char *name) {
    const long value = oce_tuning_value(configuration, name, 0);
    return value >= 0 && value <= INT_MAX ? (int)value : -1;
}

oce_conv2d_family oce_conv2d_tuned(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                                   oce_conv2d_choice *asked) {
    char text[OCE_CONV2D_TEXT];
    oce_conv2d_shape_text(shape, pass, text);
    *asked = (oce_conv2d_choice){0};
    const oce_tuning_entry *entry = oce_tuning_find(device, oce_conv2d_operation(pass), text);
    for (int i = OCE_CONV2D_AUTO + 1; entry != NULL && i < OCE_CONV2D_FAMILIES; i++)
        if (strcmp(entry->family, oce_conv2d_family_name((oce_conv2d_family)i)) == 0) {
            asked->tile = oce_tuning_letter(entry->configuration, "tile");
            asked->rows = number(entry->configuration, "rows");
            asked->vectors = number(entry->configuration, "vectors");
            if (oce_device_limits(device)->is_cpu)
                asked->outputs = number(entry->configuration, "outputs");
            return (oce_conv2d_family)i;
        }
    return OCE_CONV2D_AUTO;
}

/* Winograd for many channels: the tile that the rule does not take. */
static int winograd_configurations(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                                   char list[OCE_CONV2D_CONFIGURATIONS][OCE_CONV2D_CONFIGURATION]) {
    char reason[160];
    if (!oce_conv2d_winograd.serves(shape, oce_device_limits(device), pass, reason, sizeof reason))
        return 0;
    const int64_t usual = oce_winograd_pass_of(shape, pass).tile;
    snprintf(list[0], sizeof list[0], "outputs=%d", usual == 4 ? 2 : 4);
    return 1;
}

int oce_conv2d_configurations(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                              oce_conv2d_family family,
                              char list[OCE_CONV2D_CONFIGURATIONS][OCE_CONV2D_CONFIGURATION]) {
    if (!oce_device_limits(device)->is_cpu)
        return 0;
    if (family == OCE_CONV2D_WINOGRAD)
        return winograd_configurations(device, shape, pass, list);
    if (family != OCE_CONV2D_DIRECT || oce_conv2d_dot_suits(shape, oce_device_limits(device), pass))
        return 0;
    return oce_conv2d_tile_configurations(device, shape, pass, list);
}
