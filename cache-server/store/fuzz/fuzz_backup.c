/*
 * fuzz_backup - foreign bytes as a backup, in pieces: the reader and a restore into a small store.
 *
 * Sums would keep the fuzzer out, so they are made right first, wherever a header and blocks can be seen.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cache-server/store/backup_format.h"
#include "cache-server/store/restore.h"
#include "lib/core/hash.h"

static void
mend(uint8_t *p, size_t n)
{
	struct backup_header h;
	struct backup_block_head b;
	size_t at = sizeof h;

	if (n < sizeof h)
		return;
	memcpy(&h, p, sizeof h);
	h.sum = hash_span(span_make(&h, offsetof(struct backup_header, sum)), BACKUP_VERSION);
	memcpy(p, &h, sizeof h);
	for (uint64_t number = 0; n - at >= sizeof b; number++) {
		memcpy(&b, p + at, sizeof b);
		if (b.len > n - at - sizeof b)
			return;
		b.sum = hash_span(span_make(p + at + sizeof b, b.len), h.id + number);
		memcpy(p + at, &b, sizeof b);
		at += sizeof b + b.len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_options so = {
	    .memory = 1 << 20, .segment_size = 1 << 16, .threads = 1, .seed = 1, .now = 2};
	struct quiesce *q;
	struct quiesce_thread *qt;
	struct store *s;
	struct store_thread *t;
	struct restore *r;
	uint64_t base;
	uint8_t *copy = malloc(size ? size : 1);
	size_t step = size ? data[0] % 97u + 1 : 1;
	err_t err = ERR_OK;

	memcpy(copy, data, size);
	mend(copy, size);
	if (quiesce_create(&q, NULL) != ERR_OK)
		abort();
	so.quiesce = q;
	qt = quiesce_join(q);
	quiesce_online(q, qt);
	if (store_create(&s, &so, NULL) != ERR_OK)
		abort();
	t = store_join(s, qt);
	if (restore_create(&r, t, 1700000000, NULL) != ERR_OK)
		abort();
	for (size_t at = 0; at < size && err == ERR_OK; at += step) {
		err = restore_feed(r, span_make(copy + at, size - at < step ? size - at : step), NULL);
		quiesce_tick(q, qt);
	}
	if (err == ERR_OK && restore_end_of_one(r, &base, NULL) == ERR_OK && base)
		(void)!restore_feed(r, span_make(copy, size), NULL);
	restore_destroy(&r);
	store_leave(&t);
	store_destroy(&s);
	quiesce_leave(q, &qt);
	quiesce_destroy(&q);
	free(copy);
	return 0;
}
