/*
 * backup_format - the fixed parts of a backup as structs; backup.h says what they mean.  All little-endian,
 * without padding.
 *
 * Threads: any.   Blocks: never.   Clock: none.
 */
#ifndef SQUEAL_CACHE_SERVER_STORE_BACKUP_FORMAT_H
#define SQUEAL_CACHE_SERVER_STORE_BACKUP_FORMAT_H

#include <stdint.h>

#define BACKUP_MAGIC	   "SQBACKUP"
#define BACKUP_BLOCK_MAGIC 0x4B425153u /* "SQBK" */

enum backup_type { BACKUP_ITEM = 1, BACKUP_SAME, BACKUP_PART, BACKUP_END };

struct backup_header {
	char magic[8];
	uint32_t version, kind;
	uint64_t id, base, lineage, hash_seed, began;
	uint64_t zero[2];
	uint64_t sum;
};
_Static_assert(sizeof(struct backup_header) == 80, "as drawn in backup.h");

struct backup_block_head {
	uint32_t magic, len;
	uint64_t number, sum;
};
_Static_assert(sizeof(struct backup_block_head) == 24, "as drawn in backup.h");

struct backup_item_head {
	uint8_t type, klen;
	uint16_t bits;
	uint32_t client_flags;
	uint64_t expiry, order, cas, count;
	uint32_t term, source;
	uint64_t value_len;
};
_Static_assert(sizeof(struct backup_item_head) == 56, "as drawn in backup.h");

struct backup_part_head {
	uint8_t type, zero[3];
	uint32_t len;
};

struct backup_same {
	uint8_t type, bits, zero[6];
	uint64_t hash, order;
};

struct backup_end {
	uint8_t type, zero[7];
	uint64_t items, same;
};
_Static_assert(sizeof(struct backup_same) == 24 && sizeof(struct backup_end) == 24, "as drawn in backup.h");

#endif
