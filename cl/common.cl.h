/* Goes before every kernel file. What the host defines, each with a default so that a file compiles
 * alone. */

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

/* a * b + c: one rounding where that is one instruction. mad() is as the compiler likes. */
#if defined(OCE_FAST_FMA)
#define FMA(a, b, c) fma(a, b, c)
#else
#define FMA(a, b, c) mad(a, b, c)
#endif

#define UNROLL _Pragma("unroll")

#if OCE_CPU
#define KERNEL __kernel __attribute__((reqd_work_group_size(1, 1, 1)))
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
