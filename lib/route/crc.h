/*
 * crc - the cyclic redundancy checks that clients use as hashes.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_LIB_ROUTE_CRC_H
#define SQUEAL_LIB_ROUTE_CRC_H

#include "lib/core/span.h"

/* CRC-32 of IEEE 802.3: reflected, 0xedb88320. */
uint32_t crc32_of(struct span key);

/* CRC-64 of ECMA-182 in its reflected form, as in XZ: 0xc96c5795d7870f42. */
uint64_t crc64_of(struct span key);

/*
 * twemproxy's CRC-16: CCITT's polynomial 0x1021, highest bit first, from 0, in a register of 32 bits whose
 * upper half is never cleared: the lower half is the CRC, the upper one what was shifted out.
 */
uint32_t crc16_twemproxy(struct span key);

#endif
