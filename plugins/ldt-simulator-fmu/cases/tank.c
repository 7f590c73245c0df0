/* An FMI 2.0 co-simulation FMU that was made up for the conformance suite: a tank of water with a hole in its floor,
   area level' = inflow - rate level, stepped exactly. build.py compiles it. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { INFLOW = 1, AREA, RATE, LEVEL, OUTFLOW, VARIABLES };
typedef struct { double value[VARIABLES]; } Tank;

void *fmi2Instantiate(const char *name, int type, const char *guid, const char *resources, const void *callbacks,
                      int visible, int logging) {
    Tank *tank = calloc(1, sizeof(Tank));
    if (tank == NULL) return NULL;
    tank->value[AREA] = 20.0;
    tank->value[RATE] = 0.005;
    tank->value[LEVEL] = 1.5;
    return tank;
}
void fmi2FreeInstance(void *c) { free(c); }
const char *fmi2GetTypesPlatform(void) { return "default"; }
const char *fmi2GetVersion(void) { return "2.0"; }
int fmi2SetDebugLogging(void *c, int on, size_t n, const char *const *categories) { return 0; }
int fmi2SetupExperiment(void *c, int t, double tolerance, double start, int s, double stop) { return 0; }
int fmi2EnterInitializationMode(void *c) { return 0; }
int fmi2ExitInitializationMode(void *c) { return 0; }
int fmi2Terminate(void *c) { return 0; }

int fmi2GetReal(void *c, const unsigned *r, size_t n, double *values) {
    Tank *tank = c;
    tank->value[OUTFLOW] = tank->value[RATE] * tank->value[LEVEL];
    for (size_t i = 0; i < n; i++) values[i] = tank->value[r[i]];
    return 0;
}
int fmi2SetReal(void *c, const unsigned *r, size_t n, const double *values) {
    for (size_t i = 0; i < n; i++) ((Tank *)c)->value[r[i]] = values[i];
    return 0;
}

int fmi2DoStep(void *c, double time, double size, int keep) {
    double *v = ((Tank *)c)->value, rest = v[INFLOW] / v[RATE];
    if (!isfinite(v[INFLOW]) || v[INFLOW] < 0) return 3;
    v[LEVEL] = rest + (v[LEVEL] - rest) * exp(-v[RATE] / v[AREA] * size);
    return 0;
}

int fmi2GetFMUstate(void *c, void **state) {
    if (*state == NULL) *state = malloc(sizeof(Tank));
    memcpy(*state, c, sizeof(Tank));
    return 0;
}
int fmi2SetFMUstate(void *c, void *state) { memcpy(c, state, sizeof(Tank)); return 0; }
int fmi2FreeFMUstate(void *c, void **state) { free(*state); *state = NULL; return 0; }
int fmi2SerializedFMUstateSize(void *c, void *state, size_t *size) { *size = sizeof(Tank); return 0; }
int fmi2SerializeFMUstate(void *c, void *state, char *bytes, size_t size) { memcpy(bytes, state, size); return 0; }
int fmi2DeSerializeFMUstate(void *c, const char *bytes, size_t size, void **state) {
    if (size != sizeof(Tank)) return 3;
    *state = malloc(sizeof(Tank));
    memcpy(*state, bytes, size);
    return 0;
}
