#include "lib/broker/kafka_witness.h"

#include <time.h>

#include "lib/core/hash.h"

enum { LOOKS = 4, PAUSE_MS = 300 }; /* at an end that lies before the witness */

struct broker_witness
kafka_witness_of(const rd_kafka_message_t *m)
{
	struct broker_record rec = kafka_record(m);

	return (struct broker_witness){
	    .known = true,
	    .offset = rec.offset,
	    .hash = hash_span(rec.bytes, hash_span(rec.source, 0)),
	};
}

static bool
see_last(void *arg, const rd_kafka_message_t *m)
{
	struct broker_witness *last = arg;

	if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR && m->len > 0)
		*last = kafka_witness_of(m);
	return true;
}

err_t
kafka_witness_before(struct kafka *k, uint32_t partition, uint64_t end, int timeout_ms,
		     struct broker_witness *out, struct err_detail *why)
{
	uint64_t first, last;
	err_t err = kafka_bounds(k, partition, timeout_ms, &first, &last, why);

	*out = (struct broker_witness){.known = false};
	if (end > last)
		end = last;
	/* Offsets have holes: look a few further back. */
	for (uint64_t back = 1; err == ERR_OK && end > first && !out->known; back *= 16) {
		uint64_t from = end - first > back ? end - back : first;

		err = kafka_walk(k, partition, from, end, timeout_ms, see_last, out, why);
		if (from == first)
			break;
	}
	return err;
}

struct one_record {
	uint64_t offset;
	struct broker_witness found;
};

static bool
see_one(void *arg, const rd_kafka_message_t *m)
{
	struct one_record *one = arg;

	if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR && (uint64_t)m->offset == one->offset)
		one->found = kafka_witness_of(m);
	return false;
}

err_t
kafka_witness_same(struct kafka *k, uint32_t partition, const struct broker_witness *w, int timeout_ms,
		   bool *same, struct err_detail *why)
{
	static const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000};
	struct one_record one = {.offset = w->offset};
	uint64_t first, end;
	err_t err;

	*same = true;
	for (int i = 0;; i++) {
		err = kafka_bounds(k, partition, timeout_ms, &first, &end, why);
		if (err != ERR_OK || w->offset < first)
			return err;
		if (w->offset < end)
			break;
		if (i + 1 == LOOKS) {
			*same = false;
			return ERR_OK;
		}
		nanosleep(&pause, NULL);
	}
	err = kafka_walk(k, partition, w->offset, w->offset + 1, timeout_ms, see_one, &one, why);
	if (err == ERR_GAP) {
		err_clear(why); /* removed just now */
		return ERR_OK;
	}
	*same = one.found.known && one.found.hash == w->hash;
	return err;
}
