/* tsan_longjmp.c - lets ThreadSanitizer see Lua's throws; part of the program in the tsan build only.
 *
 * Debian's Lua throws with __longjmp_chk, which libtsan does not intercept: its shadow stack grows with each throw
 * through instrumented frames until it dies. The program exports this one, which goes by the longjmp that it knows.  */
#include <setjmp.h>

__attribute__((visibility("default"), noreturn)) void __longjmp_chk(jmp_buf env, int value);

void __longjmp_chk(jmp_buf env, int value) { longjmp(env, value); }
