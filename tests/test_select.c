/* Which device a selector means, on hand-made lists. */
#define _POSIX_C_SOURCE 200809L
#include "device/platform.h"
#include "support/device.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

typedef struct machine {
    oce_platform_info platforms[4];
    oce_device_entry devices[8];
    oce_device_list list;
} machine;

static oce_device_entry device(int platform, int index, oce_device_type type, const char *name,
                               const char *vendor, const char *selector) {
    return (oce_device_entry){.info = {
                                  .platform = platform,
                                  .index = index,
                                  .type = type,
                                  .name = name,
                                  .vendor = vendor,
                                  .selector = selector,
                                  .compute_units = 8,
                                  .clock_mhz = 1000,
                                  .vector_width = 1,
                              }};
}

/* A CPU by two drivers, two equal NVIDIA cards, an integrated and a discrete Intel GPU. */
static machine workstation(void) {
    machine m = {
        .platforms = {{.name = "Portable Computing Language", .vendor = "The pocl project"},
                      {.name = "NVIDIA CUDA", .vendor = "NVIDIA Corporation"},
                      {.name = "Intel(R) OpenCL Graphics", .vendor = "Intel(R) Corporation"},
                      {.name = "Intel(R) OpenCL", .vendor = "Intel(R) Corporation"}},
        .devices = {device(0, 0, OCE_DEVICE_CPU, "cpu-haswell", "GenuineIntel", "0:0"),
                    device(1, 0, OCE_DEVICE_GPU, "GeForce RTX 3080", "NVIDIA Corporation", "1:0"),
                    device(1, 1, OCE_DEVICE_GPU, "GeForce RTX 3080", "NVIDIA Corporation", "1:1"),
                    device(2, 0, OCE_DEVICE_GPU, "UHD Graphics 770", "Intel(R) Corporation", "2:0"),
                    device(2, 1, OCE_DEVICE_GPU, "Arc A770", "Intel(R) Corporation", "2:1"),
                    device(3, 0, OCE_DEVICE_CPU, "Core i9", "Intel(R) Corporation", "3:0"),
                    device(3, 1, OCE_DEVICE_ACCELERATOR, "FPGA board", "Intel(R) Corporation",
                           "3:1")},
    };
    m.devices[3].info.unified_memory = true;
    m.devices[2].info.compute_units = 68;
    m.devices[0].info.vector_width = 8;
    m.list = (oce_device_list){.platform_count = 4, .device_count = 7};
    return m;
}

/* The list's pointers, set where the machine has come to rest. */
static const oce_device_list *list_of(machine *m) {
    m->list.platforms = m->platforms;
    m->list.devices = m->devices;
    for (int i = 0; i < m->list.device_count; i++) {
        oce_device_info *info = &m->devices[i].info;
        info->platform_name = m->platforms[info->platform].name;
        info->platform_vendor = m->platforms[info->platform].vendor;
    }
    return &m->list;
}

static void expect_pick(machine *m, const char *selector, const char *expected) {
    const oce_device_list *list = list_of(m);
    int index = -2;
    const oce_status status = oce_device_list_select(list, selector, &index, NULL);
    cr_expect(status == OCE_OK, "\"%s\": %s", selector, oce_last_error());
    if (status == OCE_OK)
        cr_expect_str_eq(list->devices[index].info.selector, expected, "\"%s\" picks %s, not %s",
                         selector, list->devices[index].info.selector, expected);
}

static void expect_error(machine *m, const char *selector, oce_status expected, const char *text) {
    int index = 0;
    const oce_status status = oce_device_list_select(list_of(m), selector, &index, NULL);
    cr_expect(status == expected, "\"%s\": %s", selector, oce_status_text(status));
    cr_expect(index == -1);
    cr_expect(strstr(oce_last_error(), text) != NULL, "\"%s\": %s", selector, oce_last_error());
}

static void make_unusable(machine *m, int index) {
    m->devices[index].info.problem = "it is broken";
}

Test(select, auto_prefers_the_fastest_discrete_gpu) {
    machine m = workstation();
    expect_pick(&m, "auto", "1:1");
    m.devices[1].info.clock_mhz = 10000;
    expect_pick(&m, "auto", "1:0");
    m.devices[4].info.vector_width = 16;
    expect_pick(&m, "auto", "2:1");
}

Test(select, auto_goes_down_the_kinds) {
    machine m = workstation();
    make_unusable(&m, 1);
    make_unusable(&m, 2);
    expect_pick(&m, "auto", "2:1");
    make_unusable(&m, 4);
    expect_pick(&m, "auto", "2:0"); /* integrated */
    make_unusable(&m, 3);
    expect_pick(&m, "auto", "0:0"); /* the CPU with the wider vectors */
    make_unusable(&m, 0);
    expect_pick(&m, "auto", "3:0");
    make_unusable(&m, 5);
    expect_pick(&m, "auto", "3:1"); /* accelerator */
    m.devices[6].info.type = OCE_DEVICE_OTHER;
    expect_pick(&m, "auto", "3:1");
    make_unusable(&m, 6);
    expect_error(&m, "auto", OCE_ERROR_NO_DEVICE, "it is broken");
}

Test(select, equals_go_to_the_first) {
    machine m = workstation();
    m.devices[2].info.compute_units = m.devices[1].info.compute_units;
    expect_pick(&m, "auto", "1:0");
}

Test(select, unknown_clock_or_width_counts_as_one) {
    machine m = workstation();
    m.devices[0].info.clock_mhz = 0;
    m.devices[0].info.vector_width = 0;
    expect_pick(&m, "cpu", "3:0");
}

Test(select, types_in_any_case) {
    machine m = workstation();
    expect_pick(&m, "cpu", "0:0");
    expect_pick(&m, "CPU", "0:0");
    expect_pick(&m, "Gpu", "1:1");
    expect_pick(&m, "accelerator", "3:1");
    expect_pick(&m, "AUTO", "1:1");
}

Test(select, indices) {
    machine m = workstation();
    expect_pick(&m, "0:0", "0:0");
    expect_pick(&m, "2:1", "2:1");
    expect_error(&m, "2:2", OCE_ERROR_NO_DEVICE, "\"2:2\"");
    expect_error(&m, "9:0", OCE_ERROR_NO_DEVICE, "3:1 accelerator \"FPGA board\"");
    expect_error(&m, "-1:0", OCE_ERROR_NO_DEVICE, "\"-1:0\"");
    expect_error(&m, "0:0x", OCE_ERROR_NO_DEVICE, "\"0:0x\"");
    expect_error(&m, "0:", OCE_ERROR_NO_DEVICE, "\"0:\"");
    expect_error(&m, "99999999999:0", OCE_ERROR_NO_DEVICE, "\"99999999999:0\"");
}

Test(select, names_of_devices_vendors_and_platforms_in_any_case) {
    machine m = workstation();
    expect_pick(&m, "ARC", "2:1");
    expect_pick(&m, "haswell", "0:0");
    expect_pick(&m, "genuine", "0:0");      /* device's vendor */
    expect_pick(&m, "portable", "0:0");     /* platform's name */
    expect_pick(&m, "POCL", "0:0");         /* platform's vendor */
    expect_pick(&m, "UHD graphics", "2:0"); /* a blank inside */
}

Test(select, name_that_fits_two_is_ambiguous) {
    machine m = workstation();
    expect_error(&m, "nvidia", OCE_ERROR_AMBIGUOUS_DEVICE, "fits 2 devices");
    expect_error(&m, "nvidia", OCE_ERROR_AMBIGUOUS_DEVICE, "1:0 GPU \"GeForce RTX 3080\"");
    expect_error(&m, "nvidia", OCE_ERROR_AMBIGUOUS_DEVICE, "1:1 GPU \"GeForce RTX 3080\"");
    cr_expect(strstr(oce_last_error(), "Arc") == NULL, "%s", oce_last_error());
    make_unusable(&m, 1);
    expect_pick(&m, "nvidia", "1:1");
}

Test(select, preference_lists) {
    machine m = workstation();
    expect_pick(&m, "radeon,arc,cpu", "2:1");
    expect_pick(&m, " radeon , cpu ", "0:0");
    expect_pick(&m, "7:7,1:0", "1:0");
    expect_error(&m, "radeon,apple", OCE_ERROR_NO_DEVICE, "\"radeon,apple\"");
    expect_error(&m, "radeon,nvidia,cpu", OCE_ERROR_AMBIGUOUS_DEVICE, "\"nvidia\"");
    expect_pick(&m, "cpu,nvidia", "0:0");
}

Test(select, empty_entries_are_errors_wherever_they_are) {
    machine m = workstation();
    const char *const wrong[] = {",", "cpu,", ",cpu", "cpu,,gpu", " ", "cpu, ,gpu", "radeon,,cpu"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        expect_error(&m, wrong[i], OCE_ERROR_INVALID_ARGUMENT, "empty entry");
}

Test(select, overlong_entries_are_errors) {
    machine m = workstation();
    char selector[400];
    memset(selector, 'x', sizeof selector);
    selector[256] = '\0';
    expect_error(&m, selector, OCE_ERROR_INVALID_ARGUMENT, "256 characters");
    selector[255] = '\0';
    expect_error(&m, selector, OCE_ERROR_NO_DEVICE, "xxx");
}

Test(select, environment_stands_in_for_null) {
    machine m = workstation();
    unsetenv("OCELLI_DEVICE");
    expect_pick(&m, NULL, "1:1");
    setenv("OCELLI_DEVICE", "", 1);
    expect_pick(&m, NULL, "1:1");
    setenv("OCELLI_DEVICE", "arc", 1);
    expect_pick(&m, NULL, "2:1");
    expect_pick(&m, "cpu", "0:0");
    expect_pick(&m, "", "1:1"); /* an empty selector is auto */
    setenv("OCELLI_DEVICE", "radeon", 1);
    expect_error(&m, NULL, OCE_ERROR_NO_DEVICE, "radeon");
}

Test(select, reasons) {
    machine m = workstation();
    static const struct {
        const char *selector, *reason;
    } cases[] = {
        {"auto", "the fastest discrete GPU by units x clock x vector width"},
        {"cpu", "the fastest of this type by units x clock x vector width"},
        {"accelerator", "the only usable device of this type"},
        {"2:0", "the device with these indices"},
        {"arc", "the only usable device with this name"},
        {"radeon,arc", "the only usable device with this name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int index = -1;
        const char *reason = NULL;
        TEST_OK(oce_device_list_select(list_of(&m), cases[i].selector, &index, &reason));
        cr_expect_str_eq(reason, cases[i].reason, "\"%s\": %s", cases[i].selector, reason);
    }
    for (int i = 1; i < 5; i++)
        make_unusable(&m, i);
    make_unusable(&m, 5);
    int index = -1;
    const char *reason = NULL;
    TEST_OK(oce_device_list_select(list_of(&m), "auto", &index, &reason));
    cr_expect_str_eq(reason, "a CPU; no GPU is usable");
}

Test(select, no_platform_says_what_to_install) {
    machine m = {0};
    const char *const selectors[] = {"auto", "cpu", "0:0", "nvidia"};
    for (size_t i = 0; i < sizeof selectors / sizeof selectors[0]; i++) {
        expect_error(&m, selectors[i], OCE_ERROR_NO_PLATFORM, "no OpenCL platform");
        expect_error(&m, selectors[i], OCE_ERROR_NO_PLATFORM, "pocl-opencl-icd");
    }
}

Test(select, platforms_without_devices_say_why) {
    machine m = {.platforms = {{.name = "rusticl", .problem = "RUSTICL_ENABLE is not set"}},
                 .list = {.platform_count = 1}};
    expect_error(&m, "auto", OCE_ERROR_NO_DEVICE, "RUSTICL_ENABLE is not set");
}

Test(select, unusable_device_is_listed_with_its_problem) {
    machine m = workstation();
    make_unusable(&m, 4);
    expect_error(&m, "arc", OCE_ERROR_NO_DEVICE, "\"Arc A770\"");
    expect_error(&m, "2:1", OCE_ERROR_NO_DEVICE, "it is broken");
}
