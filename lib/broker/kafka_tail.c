#include "lib/broker/kafka_tail.h"

#include "lib/broker/broker_kafka.h"
#include "lib/broker/kafka_witness.h"

enum {
	FIRST_STEP = 16, /* records behind the end that are looked through first, … */
	STEP_FACTOR = 8, /* … and how many times more when these are not enough */
	TRIES = 3,	 /* retention may remove what is about to be read */
};

struct look {
	const char *source;
	struct kafka_tail *out;
};

static bool
see(void *arg, const rd_kafka_message_t *m)
{
	struct look *l = arg;
	rd_kafka_headers_t *headers;
	const void *value;
	size_t size;

	if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR || !span_is(kafka_record(m).source, l->source))
		return true;
	if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
	    rd_kafka_header_get_last(headers, BROKER_KAFKA_CHECKPOINT, &value, &size) !=
		RD_KAFKA_RESP_ERR_NO_ERROR ||
	    value == NULL || size == 0)
		return true;
	l->out->found = true;
	l->out->offset = (uint64_t)m->offset;
	l->out->witness = kafka_witness_of(m).hash;
	buf_clear(&l->out->checkpoint);
	buf_put(&l->out->checkpoint, value, size);
	return true;
}

static err_t
look_back(struct kafka *k, uint32_t partition, struct look *l, uint64_t end, int timeout_ms,
	  struct err_detail *why)
{
	uint64_t first, last, to;
	err_t err = kafka_bounds(k, partition, timeout_ms, &first, &last, why);

	to = end < last ? end : last;
	for (uint64_t step = FIRST_STEP; err == ERR_OK && !l->out->found && to > first; step *= STEP_FACTOR) {
		uint64_t from = to - first > step ? to - step : first;

		err = kafka_walk(k, partition, from, to, timeout_ms, see, l, why);
		to = from;
	}
	return err;
}

err_t
kafka_tail_find(struct kafka *k, uint32_t partition, const char *source, uint64_t end, int timeout_ms,
		struct kafka_tail *out, struct err_detail *why)
{
	struct look l = {source, out};
	err_t err = ERR_GAP;

	for (int i = 0; i < TRIES && err == ERR_GAP; i++) {
		err_clear(why);
		err = look_back(k, partition, &l, end, timeout_ms, why);
	}
	return err;
}

void
kafka_tail_fini(struct kafka_tail *t)
{
	buf_fini(&t->checkpoint);
}
