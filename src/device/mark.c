/* Places in the queue that the host can wait for. */
#include "device/internal.h"

oce_status oce_mark_set(oce_mark *mark, oce_device *device) {
    oce_mark_clear(mark);
    cl_event event = NULL;
    const cl_int code = clEnqueueMarkerWithWaitList(device->queue, 0, NULL, &event);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "marking the queue of \"%s\"", device->entry->info.name);
    mark->event = event;
    return OCE_OK;
}

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
