#include "base/crc32c.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <nmmintrin.h>
#define HAVE_X86_CRC 1
#elif defined(__aarch64__) && defined(__GNUC__) &&                                                 \
    (defined(__ARM_FEATURE_CRC32) || defined(__linux__))
#define HAVE_ARM_CRC 1
#if !defined(__ARM_FEATURE_CRC32)
#include <sys/auxv.h>
#endif
#endif

/*
 * Slicing by eight (Kounavis, Berry, 2005): table[k][b] is the register after byte b and k zero
 * bytes. The tables are linear over GF(2), so each entry is the xor of the row's entries for single
 * bits, which are the eight arguments c0 (bit 0) to c7 (bit 7).
 */
#define BIT(b, bit, c) ((((b) >> (bit)) & 1U) != 0U ? (c) : 0U)
#define ENTRY(b, c0, c1, c2, c3, c4, c5, c6, c7)                                                   \
    (BIT(b, 0, c0) ^ BIT(b, 1, c1) ^ BIT(b, 2, c2) ^ BIT(b, 3, c3) ^ BIT(b, 4, c4) ^               \
     BIT(b, 5, c5) ^ BIT(b, 6, c6) ^ BIT(b, 7, c7))
#define ENTRIES4(b, ...)                                                                           \
    ENTRY((b), __VA_ARGS__), ENTRY((b) + 1U, __VA_ARGS__), ENTRY((b) + 2U, __VA_ARGS__),           \
        ENTRY((b) + 3U, __VA_ARGS__)
#define ENTRIES16(b, ...)                                                                          \
    ENTRIES4((b), __VA_ARGS__), ENTRIES4((b) + 4U, __VA_ARGS__), ENTRIES4((b) + 8U, __VA_ARGS__),  \
        ENTRIES4((b) + 12U, __VA_ARGS__)
#define ENTRIES64(b, ...)                                                                          \
    ENTRIES16((b), __VA_ARGS__), ENTRIES16((b) + 16U, __VA_ARGS__),                                \
        ENTRIES16((b) + 32U, __VA_ARGS__), ENTRIES16((b) + 48U, __VA_ARGS__)
#define ROW(...)                                                                                   \
    {                                                                                              \
        ENTRIES64(0U, __VA_ARGS__), ENTRIES64(64U, __VA_ARGS__), ENTRIES64(128U, __VA_ARGS__),     \
            ENTRIES64(192U, __VA_ARGS__)                                                           \
    }

static const uint32_t table[8][256] = {
    ROW(0xF26B8303, 0xE13B70F7, 0xC79A971F, 0x8AD958CF, 0x105EC76F, 0x20BD8EDE, 0x417B1DBC,
        0x82F63B78),
    ROW(0x13A29877, 0x274530EE, 0x4E8A61DC, 0x9D14C3B8, 0x3FC5F181, 0x7F8BE302, 0xFF17C604,
        0xFBC3FAF9),
    ROW(0xA541927E, 0x4F6F520D, 0x9EDEA41A, 0x38513EC5, 0x70A27D8A, 0xE144FB14, 0xC76580D9,
        0x8B277743),
    ROW(0xDD45AAB8, 0xBF672381, 0x7B2231F3, 0xF64463E6, 0xE964B13D, 0xD725148B, 0xABA65FE7,
        0x52A0C93F),
    ROW(0x38116FAC, 0x7022DF58, 0xE045BEB0, 0xC5670B91, 0x8F2261D3, 0x1BA8B557, 0x37516AAE,
        0x6EA2D55C),
    ROW(0xEF306B19, 0xDB8CA0C3, 0xB2F53777, 0x6006181F, 0xC00C303E, 0x85F4168D, 0x0E045BEB,
        0x1C08B7D6),
    ROW(0x68032CC8, 0xD0065990, 0xA5E0C5D1, 0x4E2DFD53, 0x9C5BFAA6, 0x3D5B83BD, 0x7AB7077A,
        0xF56E0EF4),
    ROW(0x493C7D27, 0x9278FA4E, 0x211D826D, 0x423B04DA, 0x847609B4, 0x0D006599, 0x1A00CB32,
        0x34019664),
};

static uint32_t load32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t oce_crc32c_extend_portable(uint32_t crc, const void *data, size_t size) {
    const unsigned char *p = data;
    crc = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        const uint32_t low = crc ^ load32(p), high = load32(p + 4);
        crc = table[7][low & 0xFF] ^ table[6][low >> 8 & 0xFF] ^ table[5][low >> 16 & 0xFF] ^
              table[4][low >> 24] ^ table[3][high & 0xFF] ^ table[2][high >> 8 & 0xFF] ^
              table[1][high >> 16 & 0xFF] ^ table[0][high >> 24];
    }
    for (; size > 0; size--, p++)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xFF];
    return ~crc;
}

#if HAVE_X86_CRC

__attribute__((target("sse4.2"))) static uint32_t extend_sse42(uint32_t crc, const unsigned char *p,
                                                               size_t size) {
    uint64_t wide = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size > 0; size--, p++)
        crc = _mm_crc32_u8(crc, *p);
    return ~crc;
}

uint32_t oce_crc32c_extend(uint32_t crc, const void *data, size_t size) {
    return __builtin_cpu_supports("sse4.2") ? extend_sse42(crc, data, size)
                                            : oce_crc32c_extend_portable(crc, data, size);
}

#elif HAVE_ARM_CRC

static bool has_crc_instructions(void) {
#if defined(__ARM_FEATURE_CRC32)
    return true;
#else
    const unsigned long hwcap_crc32 = 1UL << 7;
    return (getauxval(AT_HWCAP) & hwcap_crc32) != 0;
#endif
}

/* Written out, because the compilers' intrinsics exist only where the target is fixed to have
 * them. */
static uint32_t extend_armv8(uint32_t crc, const unsigned char *p, size_t size) {
    crc = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    }
    for (; size > 0; size--, p++)
        __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)*p));
    return ~crc;
}

uint32_t oce_crc32c_extend(uint32_t crc, const void *data, size_t size) {
    return has_crc_instructions() ? extend_armv8(crc, data, size)
                                  : oce_crc32c_extend_portable(crc, data, size);
}

#else

uint32_t oce_crc32c_extend(uint32_t crc, const void *data, size_t size) {
    return oce_crc32c_extend_portable(crc, data, size);
}

#endif
