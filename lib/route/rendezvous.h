/*
 * rendezvous - mcrouter's Rendezvous and WeightedRendezvous: the server whose score with the key is highest.
 *
 * A server is hashed once, by its tag; a key's score with it mixes that hash with the key's, both
 * MurmurHash64A. Rendezvous compares scores after rounding them to doubles, and the later of equal ones wins.
 * Weighted, a score is weight / -log(its lower 53 bits as a number from 0 to 1), and the earlier of equal
 * ones wins; the log is the C library's, as in mcrouter.
 *
 * Source: mcrouter, lib/RendezvousHashFunc.cpp, lib/WeightedRendezvousHashFunc.cpp,
 * lib/RendezvousHashHelper.h.
 *
 * Threads: any may look up.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_RENDEZVOUS_H
#define SQUEAL_LIB_ROUTE_RENDEZVOUS_H

#include "lib/core/span.h"

/* The hash of a server's tag. */
uint64_t rendezvous_server(struct span tag);

/* Index of the key's server; weights 0 or more, NULL for Rendezvous. */
size_t rendezvous_of(struct span key, const uint64_t *servers, const double *weights, size_t n);

#endif
