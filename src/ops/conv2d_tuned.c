/* What the tuning table says of a convolution. */
#include "ops/conv2d_internal.h"

#include "device/tuning.h"

#include <stdio.h>
#include <string.h>

const char *oce_conv2d_operation(oce_pass pass) {
    return pass == OCE_PASS_FORWARD      ? "conv2d forward"
           : pass == OCE_PASS_INPUT_GRAD ? "conv2d input gradient"
                                         : "conv2d filter gradient";
}

void oce_conv2d_shape_text(const oce_conv2d_shape *shape, char text[OCE_CONV2D_TEXT]) {
    const oce_window_geometry *g = &shape->window;
    snprintf(text, OCE_CONV2D_TEXT,
             "n=%lld h=%lld w=%lld c=%lld k=%lld window=%lldx%lld stride=%lldx%lld "
             "dilation=%lldx%lld before=%lldx%lld after=%lldx%lld%s",
             (long long)shape->batch, (long long)g->input[0], (long long)g->input[1],
             (long long)shape->channels, (long long)shape->filters, (long long)g->size[0],
             (long long)g->size[1], (long long)g->stride[0], (long long)g->stride[1],
             (long long)g->dilation[0], (long long)g->dilation[1], (long long)g->before[0],
             (long long)g->before[1], (long long)g->after[0], (long long)g->after[1],
             shape->no_winograd ? " winograd=off" : "");
}

oce_conv2d_family oce_conv2d_tuned(oce_device *device, const oce_conv2d_shape *shape, oce_pass pass,
                                   char *tile) {
    char text[OCE_CONV2D_TEXT];
    oce_conv2d_shape_text(shape, text);
    *tile = '\0';
    const oce_tuning_entry *entry = oce_tuning_find(device, oce_conv2d_operation(pass), text);
    for (int i = OCE_CONV2D_AUTO + 1; entry != NULL && i < OCE_CONV2D_FAMILIES; i++)
        if (strcmp(entry->family, oce_conv2d_family_name((oce_conv2d_family)i)) == 0) {
            *tile = oce_tuning_letter(entry->configuration, "tile");
            return (oce_conv2d_family)i;
        }
    return OCE_CONV2D_AUTO;
}
