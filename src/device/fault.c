#include "device/internal.h"
#include "device/kernel_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool oce_fault_names_have(const oce_fault_names *names, const char *name) {
    for (int i = 0; i < OCE_FAULT_NAMES && names->at[i][0] != '\0'; i++)
        if (strcmp(names->at[i], name) == 0)
            return true;
    return false;
}

static oce_status add_name(const char *entry, size_t length, const char *name,
                           oce_fault_names *names) {
    const size_t count = (size_t)(entry + length - name);
    int at = 0;
    while (at < OCE_FAULT_NAMES && names->at[at][0] != '\0')
        at++;
    OCE_REQUIRE(count > 0 && count < sizeof names->at[0] && at < OCE_FAULT_NAMES,
                OCE_ERROR_INVALID_ARGUMENT,
                "OCELLI_FAULT: \"%.*s\": up to %d names of 1 to %zu characters are allowed",
                (int)length, entry, OCE_FAULT_NAMES, sizeof names->at[0] - 1);
    snprintf(names->at[at], sizeof names->at[at], "%.*s", (int)count, name);
    return OCE_OK;
}

static oce_status parse_entry(const char *entry, size_t length, oce_fault *fault) {
    static const char allocation[] = "allocation=", build[] = "build=", result[] = "result=";
    static const char poison[] = "poison";
    if (strncmp(entry, build, strlen(build)) == 0)
        return add_name(entry, length, entry + strlen(build), &fault->build);
    if (strncmp(entry, result, strlen(result)) == 0)
        return add_name(entry, length, entry + strlen(result), &fault->result);
    if (length == strlen(poison) && strncmp(entry, poison, length) == 0) {
        fault->poison = true;
        return OCE_OK;
    }
    char *end = NULL;
    if (strncmp(entry, allocation, strlen(allocation)) == 0)
        fault->allocation = strtoull(entry + strlen(allocation), &end, 10);
    OCE_REQUIRE(end == entry + length && fault->allocation > 0, OCE_ERROR_INVALID_ARGUMENT,
                "OCELLI_FAULT: \"%.*s\" is none of allocation=N (from 1), build=FILE, "
                "result=KERNEL, poison",
                (int)length, entry);
    return OCE_OK;
}

oce_status oce_fault_parse(const char *text, oce_fault *fault) {
    *fault = (oce_fault){0};
    while (text != NULL && text[0] != '\0') {
        const size_t length = strcspn(text, ",");
        OCE_TRY(parse_entry(text, length, fault));
        text += length;
        text += text[0] == ',';
    }
    return OCE_OK;
}

oce_status oce_fault_check(const oce_fault *fault) {
    for (int i = 0; i < OCE_FAULT_NAMES && fault->build.at[i][0] != '\0'; i++)
        OCE_REQUIRE(strcmp(fault->build.at[i], "CLBlast") == 0 ||
                        oce_kernel_source_has_file(fault->build.at[i]),
                    OCE_ERROR_INVALID_ARGUMENT,
                    "OCELLI_FAULT: \"build=%s\": there is no such file of kernels, nor is it "
                    "CLBlast",
                    fault->build.at[i]);
    for (int i = 0; i < OCE_FAULT_NAMES && fault->result.at[i][0] != '\0'; i++)
        OCE_REQUIRE(strcmp(fault->result.at[i], "CLBlastSgemm") == 0 ||
                        strcmp(fault->result.at[i], "CLBlastSgemmStridedBatched") == 0 ||
                        oce_kernel_source_has_kernel(fault->result.at[i]),
                    OCE_ERROR_INVALID_ARGUMENT,
                    "OCELLI_FAULT: \"result=%s\": there is no such kernel", fault->result.at[i]);
    return OCE_OK;
}

oce_status oce_fault_spoil(const oce_buffer *buffer, uint64_t element, bool is_bytes) {
    union {
        float f;
        unsigned char byte;
    } value = {0};
    const size_t bytes = is_bytes ? 1 : sizeof value.f;
    OCE_TRY(oce_buffer_read(buffer, (size_t)element * bytes, &value, bytes));
    if (is_bytes)
        value.byte ^= 1;
    else
        value.f += 1 + fabsf(value.f);
    const cl_int code = clEnqueueWriteBuffer(buffer->device->queue, buffer->memory, CL_TRUE,
                                             (size_t)element * bytes, bytes, &value, 0, NULL, NULL);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "OCELLI_FAULT: writing a wrong element");
    return OCE_OK;
}

/* Whether the kernel may write through pointer argument `index`, and to what. */
static oce_status is_output(const oce_kernel *kernel, cl_uint index, bool *output, bool *is_bytes) {
    cl_kernel_arg_type_qualifier qualifier = 0;
    char type[64] = "";
    cl_int code = clGetKernelArgInfo(kernel->kernel, index, CL_KERNEL_ARG_TYPE_QUALIFIER,
                                     sizeof qualifier, &qualifier, NULL);
    if (code == CL_SUCCESS)
        code = clGetKernelArgInfo(kernel->kernel, index, CL_KERNEL_ARG_TYPE_NAME, sizeof type - 1,
                                  type, NULL);
    if (code != CL_SUCCESS)
        return oce_opencl_fail(code, "OCELLI_FAULT: what argument %u of kernel %s is", index,
                               kernel->name);
    *output = (qualifier & CL_KERNEL_ARG_TYPE_CONST) == 0;
    *is_bytes = strstr(type, "char") != NULL;
    return OCE_OK;
}

oce_status oce_fault_spoil_launch(const oce_kernel *kernel, const oce_arg *args, int count) {
    cl_uint index = 0;
    for (int i = 0; i < count; i++) {
        const oce_arg *arg = &args[i];
        const bool is_pointer = arg->kind == OCE_ARG_TENSOR || arg->kind == OCE_ARG_BUFFER;
        bool output = false, is_bytes = false;
        if (is_pointer && arg->value.tensor.buffer != NULL)
            OCE_TRY(is_output(kernel, index, &output, &is_bytes));
        if (output)
            return oce_fault_spoil(arg->value.tensor.buffer, arg->value.tensor.offset, is_bytes);
        index += arg->kind == OCE_ARG_TENSOR ? 2 : 1;
    }
    return oce_fail(OCE_ERROR_UNSUPPORTED, "OCELLI_FAULT: kernel %s has no output", kernel->name);
}
