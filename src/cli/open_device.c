#include "cli/open_device.h"
#include "cli/compilers.h"
#include "cli/progress.h"

/* PoCL takes up to half a second to give a program away, which saves 13 ms of each later start: so
 * nobody waits long for it, and the next runs keep the rest. */
#define STORE_SECONDS 1.0

void cli_print_notices(oce_device *device) {
    if (device == NULL)
        return;
    for (const char *notice; (notice = oce_device_take_notice(device)) != NULL;)
        cli_progress_line(stderr, "ocelli: warning: %s", notice);
}

void cli_close_device(oce_device *device, bool is_done, bool quiet) {
    cli_compilers_stop();
    cli_print_notices(device);
    const int count = device != NULL && is_done ? oce_device_unstored_programs(device) : 0;
    if (count > 0) {
        fflush(stdout); /* nobody should wait for the answers */
        const oce_status status = oce_device_store_programs(device, STORE_SECONDS);
        const int left = oce_device_unstored_programs(device);
        if (status != OCE_OK && !quiet)
            cli_progress_line(
                stderr,
                "ocelli: warning: compiled kernels cannot be kept, and the next start "
                "will be as slow: %s (OCELLI_CACHE names another folder, or is off)",
                oce_last_error());
        else if (!quiet && left == 0)
            cli_progress_line(stderr, "Compiled kernels are kept for faster starts");
        else if (!quiet)
            cli_progress_line(stderr,
                              "%d of %d compiled kernels are kept for faster starts, the others "
                              "after the next runs",
                              count - left, count);
    }
    oce_device_close(device);
}

oce_status cli_open_device(const char *selector, bool quiet, oce_device **device) {
    const oce_status status = oce_device_open(selector, device);
    if (status != OCE_OK || quiet)
        return status;
    const oce_device_info *info = oce_device_get_info(*device);
    cli_progress_line(stderr, "Device %s: %s (%s, %u units), %s, driver %s", info->selector,
                      info->name, oce_device_type_name(info->type), info->compute_units,
                      info->platform_name, info->driver_version);
    return OCE_OK;
}
