/* Marks in a program's run that callgrind understands; without it they do nothing. */
#include <valgrind/callgrind.h>

void begin(void) { CALLGRIND_ZERO_STATS; }
void end(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
