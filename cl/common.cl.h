/* Goes before every kernel file. What the host defines, each with a default so that a file compiles
 * alone. */

/*
 * 1: the types and functions of the language that the kernels use are declared here, as in clang's
 * opencl-c.h. PoCL reads that header with every program, ten thousand declarations that take longer
 * than most of our kernels; the host then keeps it out by defining its guard, _OPENCL_H_.
 */
#ifndef OCE_DECLARES_BUILTINS
#define OCE_DECLARES_BUILTINS 0
#endif

#if OCE_DECLARES_BUILTINS
typedef unsigned char uchar;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef __SIZE_TYPE__ size_t;

#define VECTORS_OF(type)                                                                           \
    typedef type type##2 __attribute__((ext_vector_type(2)));                                      \
    typedef type type##4 __attribute__((ext_vector_type(4)));                                      \
    typedef type type##8 __attribute__((ext_vector_type(8)));                                      \
    typedef type type##16 __attribute__((ext_vector_type(16)));
VECTORS_OF(uchar)
VECTORS_OF(int)
VECTORS_OF(uint)
VECTORS_OF(float)

#define FUNCTION __attribute__((overloadable))
#define PURE FUNCTION __attribute__((pure))
#define MATH FUNCTION __attribute__((const))
/* A declaration for scalars and for vectors of all widths: `declare` takes the width as a suffix. */
#define ALL_WIDTHS(declare) declare() VECTOR_WIDTHS(declare)
#define VECTOR_WIDTHS(declare) declare(2) declare(4) declare(8) declare(16)

size_t MATH get_global_id(uint);
size_t MATH get_global_size(uint);
size_t MATH get_local_id(uint);
size_t MATH get_local_size(uint);
size_t MATH get_group_id(uint);
size_t MATH get_num_groups(uint);

#define CLK_LOCAL_MEM_FENCE 1
void FUNCTION __attribute__((convergent)) barrier(uint);
uint FUNCTION atomic_add(volatile __global uint *, uint);
void FUNCTION prefetch(const __global float *, size_t);

/* The literals of opencl-c-base.h. */
#define INFINITY (__builtin_inff())
#define NAN as_float(0x7FFFFFFF)
#define FLT_MAX 0x1.fffffep127f
#define as_float(x) __builtin_astype((x), float)
#define as_int(x) __builtin_astype((x), int)
#define as_int4(x) __builtin_astype((x), int4)
#define as_int8(x) __builtin_astype((x), int8)
#define as_int16(x) __builtin_astype((x), int16)
#define as_uint(x) __builtin_astype((x), uint)
#define as_uint4(x) __builtin_astype((x), uint4)
#define as_uint8(x) __builtin_astype((x), uint8)
#define as_uint16(x) __builtin_astype((x), uint16)

#define MEMORY(type, n, space)                                                                     \
    type##n PURE vload##n(size_t, const space type *);                                             \
    void FUNCTION vstore##n(type##n, size_t, space type *);
#define MEMORY_OF(type, n) MEMORY(type, n, __global) MEMORY(type, n, __local) MEMORY(type, n, __private)
#define MEMORY_OF_ALL(n)                                                                           \
    MEMORY_OF(float, n) MEMORY_OF(int, n) MEMORY_OF(uint, n) MEMORY_OF(uchar, n)
VECTOR_WIDTHS(MEMORY_OF_ALL)

#define CONVERSIONS(n)                                                                             \
    float##n MATH convert_float##n(uchar##n);                                                      \
    float##n MATH convert_float##n(int##n);                                                        \
    float##n MATH convert_float##n(uint##n);                                                       \
    int##n MATH convert_int##n(uchar##n);                                                          \
    int##n MATH convert_int##n(float##n);                                                          \
    uchar##n MATH convert_uchar##n(int##n);
ALL_WIDTHS(CONVERSIONS)

#define EXTREMES(type)                                                                             \
    type MATH min(type, type);                                                                     \
    type MATH max(type, type);                                                                     \
    type MATH clamp(type, type, type);
#define EXTREMES_OF_ALL(n) EXTREMES(int##n) EXTREMES(uint##n) EXTREMES(float##n)
ALL_WIDTHS(EXTREMES_OF_ALL)
EXTREMES(long)
EXTREMES(ulong)

#define FUNCTIONS(n)                                                                               \
    float##n MATH mad(float##n, float##n, float##n);                                               \
    float##n MATH fma(float##n, float##n, float##n);                                               \
    float##n MATH fmax(float##n, float##n);                                                        \
    float##n MATH fabs(float##n);                                                                  \
    float##n MATH sqrt(float##n);                                                                  \
    float##n MATH exp(float##n);                                                                   \
    float##n MATH log(float##n);                                                                   \
    float##n MATH sinpi(float##n);                                                                 \
    float##n MATH cospi(float##n);                                                                 \
    int##n MATH isless(float##n, float##n);                                                        \
    int MATH all(int##n);                                                                          \
    uint##n MATH mul_hi(uint##n, uint##n);
ALL_WIDTHS(FUNCTIONS)

#define CHOICES(type, n)                                                                           \
    type##n MATH select(type##n, type##n, int##n);                                                 \
    type##n MATH select(type##n, type##n, uint##n);
#define CHOICES_OF_ALL(n) CHOICES(int, n) CHOICES(uint, n) CHOICES(float, n)
ALL_WIDTHS(CHOICES_OF_ALL)

#define SHUFFLES_OF_TWO(n) float##n MATH shuffle2(float##n, float##n, uint##n);
VECTOR_WIDTHS(SHUFFLES_OF_TWO)
#endif

/* 1: a CPU, where a work-group has one work-item and vectors are explicit. 0: a GPU. */
#ifndef OCE_CPU
#define OCE_CPU 0
#endif

/* Floats of a vector: 4, 8 or 16. */
#ifndef OCE_VECTOR_WIDTH
#define OCE_VECTOR_WIDTH 4
#endif
#define VW OCE_VECTOR_WIDTH

#define OCE_JOIN_(a, b) a##b
#define OCE_JOIN(a, b) OCE_JOIN_(a, b)

/* A vector of VW floats, ints or bytes, and its loads and stores at any alignment of the element. */
#define floatv OCE_JOIN(float, VW)
#define intv OCE_JOIN(int, VW)
#define uintv OCE_JOIN(uint, VW)
#define ucharv OCE_JOIN(uchar, VW)
#define vloadv OCE_JOIN(vload, VW)
#define vstorev OCE_JOIN(vstore, VW)
#define convert_floatv OCE_JOIN(convert_float, VW)
#define convert_ucharv OCE_JOIN(convert_uchar, VW)
#define convert_intv OCE_JOIN(convert_int, VW)
#define as_intv OCE_JOIN(as_int, VW)
#define as_uintv OCE_JOIN(as_uint, VW)

/* Hints to bring the cache line of a float near, to be read or written, or, if it is not used soon,
 * into the second cache. Where nothing would come of them CAN_PREFETCH is 0: loops of hints should
 * go too. PoCL's prefetch() is empty, and that of Intel's runtime for CPUs slow, but both compilers
 * are clang and compile for the processor itself. */
#if OCE_CPU && (defined(POCL_DEVICE_ADDRESS_BITS) || defined(__INTEL_LLVM_COMPILER))
#define CAN_PREFETCH 1
#define PREFETCH(pointer) __builtin_prefetch((const void *)(size_t)(pointer))
#define PREFETCH_TO_L2(pointer) __builtin_prefetch((const void *)(size_t)(pointer), 0, 2)
#define PREFETCH_TO_WRITE(pointer) __builtin_prefetch((const void *)(size_t)(pointer), 1)
#else
#define CAN_PREFETCH 0
#define PREFETCH(pointer) prefetch(pointer, (size_t)1)
#define PREFETCH_TO_L2(pointer) PREFETCH(pointer)
#define PREFETCH_TO_WRITE(pointer) PREFETCH(pointer)
#endif

/* Stores a vector to global memory at any float, whole: PoCL takes vstore16() to pieces of four. */
typedef floatv floatv_of_floats __attribute__((aligned(4)));
#define STORE(value, pointer) (*(__global floatv_of_floats *)(pointer) = (value))

/* The first `lanes` lanes of a vector in memory, all if that is VW or more; the rest is 0. */
static inline floatv load_lanes(__global const float *from, const int lanes) {
    if (lanes >= VW)
        return vloadv(0, from);
    float some[VW];
    for (int i = 0; i < VW; i++)
        some[i] = i < lanes ? from[i] : 0;
    return vloadv(0, some);
}

static inline void store_lanes(floatv value, __global float *to, const int lanes) {
    if (lanes >= VW) {
        STORE(value, to);
        return;
    }
    float some[VW];
    vstorev(value, 0, some);
    for (int i = 0; i < lanes; i++)
        to[i] = some[i];
}

/* A vector of VEC floats (1, 2, 4, 8 or 16) for kernels without tails: the host picks a VEC that
 * divides the channels. Without it VEC is VW. OCE_ALIGNED=1 is the host's promise that each such
 * vector lies at a multiple of its size; some GPUs load it whole only then. The literal (vecf)(0)
 * and select() work for every VEC, also 1. */
#ifndef VEC
#define VEC VW
#endif
#ifndef OCE_ALIGNED
#define OCE_ALIGNED 0
#endif
#if VEC == 1
#define vecf float
#define veci int
#define convert_vecf convert_float
#define LOADV(p) (*(p))
#define STOREV(v, p) (*(p) = (v))
#define LOADB(p) ((int)*(p))
#else
#define vecf OCE_JOIN(float, VEC)
#define veci OCE_JOIN(int, VEC)
#define convert_vecf OCE_JOIN(convert_float, VEC)
#if OCE_ALIGNED
#define LOADV(p) (*(__global const vecf *)(p))
#define STOREV(v, p) (*(__global vecf *)(p) = (v))
#else
#define LOADV(p) OCE_JOIN(vload, VEC)(0, p)
#if OCE_CPU /* whole, as STORE(): to global memory only */
typedef vecf vecf_of_floats __attribute__((aligned(4)));
#define STOREV(v, p) (*(__global vecf_of_floats *)(p) = (v))
#else
#define STOREV(v, p) OCE_JOIN(vstore, VEC)(v, 0, p)
#endif
#endif
/* VEC bytes, at any alignment, as ints */
#define LOADB(p) OCE_JOIN(convert_int, VEC)(OCE_JOIN(vload, VEC)(0, p))
#endif

/* a * b + c: one rounding where that is one instruction. mad() is as the compiler likes. */
#if defined(OCE_FAST_FMA)
#define FMA(a, b, c) fma(a, b, c)
#else
#define FMA(a, b, c) mad(a, b, c)
#endif

#define UNROLL _Pragma("unroll")
/* Of loops with many addresses, which compilers take long over when they unroll them. */
#define ROLLED _Pragma("unroll 1")

/* For kernels on a line of elements, of which an item takes i..end-1: VECTORS { what to do with the
 * vector at i } REST { what to do with element i }. Many vectors on a CPU; on a GPU one, or what is
 * left at the line's end, fewer than a vector. */
#if OCE_CPU
#define VECTORS for (; i + VEC <= end; i += VEC)
#define REST for (; i < end; i++)
#else
#define VECTORS if (i + VEC <= end)
#define REST                                                                                       \
    else UNROLL for (uint rest = 1; rest < VEC; rest++, i++) if (i < end)
#endif

/* The hint says that vectors are explicit: without it Intel's compiler for CPUs also compiles a form
 * for 16 work-items at a time, which takes three times as long and is never run. */
#if OCE_CPU
#define KERNEL __kernel __attribute__((reqd_work_group_size(1, 1, 1), vec_type_hint(floatv)))
#else
#define KERNEL __kernel
#endif

/* A tensor argument is a pointer to its buffer and an offset in elements: IN(x) in the parameter
 * list, AT(x) for the pointer to its first element. */
#define IN(name) __global const float *restrict name##_base, const ulong name##_at
#define OUT(name) __global float *restrict name##_base, const ulong name##_at
#define INOUT(name) __global float *name##_base, const ulong name##_at
#define IN_BYTES(name) __global const uchar *restrict name##_base, const ulong name##_at
#define OUT_BYTES(name) __global uchar *restrict name##_base, const ulong name##_at
#define AT(name) (name##_base + name##_at)
/* A tensor as lines of contiguous elements (src/ops/lines.h): also the elements from image to image
 * (outer) and from row to row (inner). Not `restrict`: output may be input. */
#define LINES(name)                                                                                \
    __global const float *name##_base, const ulong name##_at, const long name##_outer,             \
        const long name##_inner
#define LINES_OUT(name)                                                                            \
    __global float *name##_base, const ulong name##_at, const long name##_outer,                   \
        const long name##_inner
