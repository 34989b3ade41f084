/*
 * host - the name or address of a machine as people write it, alone or with a port.
 *
 * Only the form is looked at; nothing is resolved.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_CONF_HOST_H
#define SQUEAL_LIB_CONF_HOST_H

#include <stdbool.h>

#include "lib/core/span.h"

/* A name or an IPv4 address. */
bool host_is(struct span s);

/* Without brackets. */
bool host_is_ipv6(struct span s);

/* "host:port" or "[v6]:port", without the brackets; false when it is neither. */
bool host_split(struct span text, struct span *host, struct span *port);

#endif
