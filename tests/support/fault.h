/*
 * Makes the N-th operation on files fail, or kills the process there. Counted are the operations
 * that change a folder's files: open() that may create, write, pwrite, ftruncate, fsync, rename,
 * link, unlink, mkdir; under one folder only.
 *
 * In a test program these functions arm it. Built as a shared object and loaded by LD_PRELOAD it
 * serves any program, armed by the environment:
 *
 *   OCELLI_FILE_FAULT   fail:N  operation N (from 1) fails with EIO
 *                       full:N  from operation N on, all that need room fail with ENOSPC
 *                       kill:N  SIGKILL at operation N; a write has written half its bytes
 *   OCELLI_FILE_FAULT_UNDER  the folder (an absolute path)
 *   OCELLI_FILE_FAULT_COUNT  a file into which the number of operations is written at exit
 */
#ifndef TESTS_SUPPORT_FAULT_H
#define TESTS_SUPPORT_FAULT_H

typedef enum fault_mode { FAULT_NONE, FAULT_FAIL, FAULT_FULL, FAULT_KILL } fault_mode;

/* Counts from 0 again. `under` is copied. */
void fault_arm(fault_mode mode, long at, const char *under);
/* Stops counting; returns how many operations there were. */
long fault_disarm(void);

/* From now on fsync() does nothing but be counted: for tests that write often, and kill processes
 * rather than machines. */
void fault_skip_fsync(void);

#endif
