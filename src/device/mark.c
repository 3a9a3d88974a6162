/* Places in the queue that the host can wait for. */
#include "device/internal.h"

oce_status oce_mark_wait(oce_mark *mark) {
    if (mark->event == NULL)
        return OCE_OK;
    cl_event event = mark->event;
    const cl_int code = clWaitForEvents(1, &event);
    oce_mark_clear(mark);
    return code == CL_SUCCESS ? OCE_OK : oce_opencl_fail(code, "waiting for a mark in the queue");
}

void oce_mark_clear(oce_mark *mark) {
    if (mark->event != NULL)
        clReleaseEvent(mark->event);
    mark->event = NULL;
}
