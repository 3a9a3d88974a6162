#include "cli/open_device.h"
#include "cli/progress.h"

void cli_print_notices(oce_device *device) {
    for (const char *notice; (notice = oce_device_take_notice(device)) != NULL;)
        cli_progress_line(stderr, "ocelli: warning: %s", notice);
}

void cli_close_device(oce_device *device, bool is_done, bool quiet) {
    const int count = device != NULL && is_done ? oce_device_unstored_programs(device) : 0;
    if (count > 0) {
        fflush(stdout); /* nobody should wait for the answers */
        if (!quiet)
            cli_progress_line(stderr, "Keeping %d compiled kernel%s for faster starts ...", count,
                              count == 1 ? "" : "s");
        oce_device_store_programs(device);
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
