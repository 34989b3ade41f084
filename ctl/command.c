#include "ctl/command.h"

const struct command commands[] = {
    {"status", "", 0, 0, true, "who runs, who is behind, who is in a GAP, and why", status_run},
    {"explain", "KEY", 1, 1, false, "which servers have a key, and why", explain_run},
    {"trace", "KEY", 1, 1, false,
     "the last deletes of a key: transaction, log, server, and the time of each hop", trace_run},
    {"top", "", 0, 0, false, "the keys that are deleted most, and how many deletes are for nothing", top_run},
    {"pause", "[SERVER]", 0, 1, false, "send no more deletes, to one server or to all; the log keeps them",
     pause_run},
    {"resume", "[SERVER]", 0, 1, false, "go on", resume_run},
    {"drain", "[SERVER]", 0, 1, false, "pause, and wait until nothing is in flight", drain_run},
    {"mode", "warm|cold", 1, 1, false,
     "cold: deletes hold fills off while the cluster is filled from another one; until the router's next "
     "start",
     mode_run},
    {"seal", "", 0, 0, false, "end a ring change: deletes go to the new owners only", seal_run},
};
const size_t ncommands = sizeof(commands) / sizeof(commands[0]);
