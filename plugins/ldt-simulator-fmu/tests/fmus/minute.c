/* An FMI 3.0 co-simulation FMU that returns early at every full minute. x is the time it has reached. */
#include <stddef.h>
#include <stdint.h>

static double now;

void *fmi3InstantiateCoSimulation(const char *a, const char *b, const char *c, _Bool d, _Bool e, _Bool f, _Bool g,
                                  const uint32_t *h, size_t i, void *j, void *k, void *l) { return &now; }
int fmi3EnterInitializationMode(void *c, _Bool a, double b, double start, _Bool d, double e) { now = start; return 0; }
int fmi3ExitInitializationMode(void *c) { return 0; }
int fmi3Terminate(void *c) { return 0; }
void fmi3FreeInstance(void *c) {}
const char *fmi3GetVersion(void) { return "3.0"; }
int fmi3GetFloat64(void *c, const uint32_t *r, size_t n, double *values, size_t m) { values[0] = now; return 0; }

int fmi3DoStep(void *c, double time, double size, _Bool a, _Bool *event, _Bool *ended, _Bool *early, double *reached) {
    double minute = 60.0 * ((int)(time / 60.0 + 1e-9) + 1), goal = time + size;
    now = minute < goal ? minute : goal;
    *event = 0; *ended = 0; *early = now < goal; *reached = now;
    return 0;
}
