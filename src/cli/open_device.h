/* Opening the device that --device names. */
#ifndef CLI_OPEN_DEVICE_H
#define CLI_OPEN_DEVICE_H

#include <ocelli/device.h>

/* Opens the device (selector NULL: auto) and, unless quiet, says on stderr which one it is. */
oce_status cli_open_device(const char *selector, bool quiet, oce_device **device);

/* Closes it; NULL is allowed. Every verb that opens a device ends with it, also after a failure: it
 * prints the device's notices. If the work is done, it stores compiled kernels that the next start
 * would miss (oce_device_store_programs), for about a second, and says so unless quiet. */
void cli_close_device(oce_device *device, bool is_done, bool quiet);

/* Prints, as warnings on stderr, what the device has to say (oce_device_take_notice), each notice
 * once. For what should be read before a long run; cli_close_device() does it in any case. */
void cli_print_notices(oce_device *device);

#endif
