#include <stdint.h>

#include "lib/core/clock.h"
#include "lib/deliver/outbox.h"
#include "lib/wire/mc_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct router_options opt;
	struct clock_fake clock;
	struct outbox_metrics metrics;
	struct outbox *o;
	struct buf out, replies;
	uint64_t offset, acked;
	bool connected;
};

static void
step(struct run *r, uint8_t what, uint8_t arg)
{
	static const char *const lines[] = {"MN\r\n",
					    "NF\r\n",
					    "HD\r\n",
					    "OK\r\n",
					    "VERSION 1\r\n",
					    "CLIENT_ERROR no\r\n",
					    "SERVER_ERROR no\r\n",
					    "ERROR\r\n",
					    "DELETED\r\n",
					    "NOT_FOUND\r\n",
					    "STAT pid 1\r\n",
					    "EN\r\n"};
	char key[2] = {(char)('a' + arg % 8), (char)('0' + arg / 8 % 4)};
	struct outbox_key k = {.prefix = {"p", arg >> 7},
			       .key = {key, 2},
			       .action = arg & 64 ? OUTBOX_STALE : OUTBOX_DELETE,
			       .holdoff_ms = arg & 32 ? 500 : 0,
			       .limit = arg % 8 < 3 ? 1 + arg % 2 : 0};
	struct outbox_limit limits[2] = {{.keys_per_s = arg}, {.keys_per_s = 20}};

	switch (what % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
		if (outbox_put(r->o, &k) != ERR_OK)
			__builtin_trap();
		break;
	case 4:
		outbox_record_end(r->o, ++r->offset);
		outbox_txn(r->o, r->offset, 1, 1);
		break;
	case 5:
		buf_clear(&r->out);
		outbox_send(r->o, &r->out);
		break;
	case 6:
		if (!r->connected)
			outbox_abilities(r->o, arg & 3);
		if (!r->connected)
			outbox_connected(r->o, arg & 4);
		r->connected = true;
		break;
	case 7:
		if (r->connected)
			outbox_disconnected(r->o);
		r->connected = false;
		break;
	case 8:
		clock_fake_advance_ms(&r->clock, arg);
		(void)outbox_retry_at_ms(r->o);
		break;
	case 9:
		outbox_rate(r->o, arg * 10u);
		break;
	case 10:
		outbox_limits(r->o, limits, arg % 3);
		break;
	case 11:
		if (arg < 32)
			outbox_flush_all(r->o);
		else if (arg < 64)
			outbox_caught_up(r->o);
		else
			outbox_pause(r->o, arg & 1);
		break;
	default:
		buf_put_str(&r->replies, lines[arg % (sizeof(lines) / sizeof(lines[0]))]);
	}
}

static void
take_replies(struct run *r)
{
	while (r->replies.len > 0) {
		struct err_detail why = {0};
		struct mc_reply reply;
		err_t err = mc_reply_parse(buf_span(&r->replies), &reply, &why);

		if (err != ERR_OK || reply.kind == MC_REPLY_MORE)
			__builtin_trap();
		err = outbox_reply(r->o, &reply, &why);
		buf_take(&r->replies, reply.used);
		if (err != ERR_OK) {
			buf_clear(&r->replies);
			if (r->connected)
				outbox_disconnected(r->o);
			r->connected = false;
		}
	}
}

/* Whatever is put in and answered, the cursor only rises, never passes the log, and nothing is lost: at the
 * end a server that is fine takes all that is left. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run r = {.opt = {.window_keys = 3, .windows = 2, .backoff_max = 100, .sample_hits = 2},
			.offset = 5,
			.acked = 5};
	struct outbox_context ctx = {
	    .opt = &r.opt, .clock = &r.clock.clock, .metrics = &r.metrics, .server = "fuzz"};

	clock_fake_init(&r.clock);
	r.o = outbox_create(&ctx, 5);
	outbox_txn(r.o, r.offset, 1, 1);
	for (size_t i = 0; i + 1 < size; i += 2) {
		step(&r, data[i], data[i + 1]);
		take_replies(&r);
		if (outbox_acked(r.o) < r.acked || outbox_acked(r.o) > r.offset)
			__builtin_trap();
		r.acked = outbox_acked(r.o);
	}
	outbox_record_end(r.o, ++r.offset);
	outbox_pause(r.o, false);
	outbox_limits(r.o, NULL, 0);
	outbox_rate(r.o, 0);
	if (r.connected)
		outbox_disconnected(r.o);
	outbox_connected(r.o, true);
	r.connected = true;
	for (size_t i = 0; !outbox_is_empty(r.o); i++) {
		if (i > 10 * size + 100)
			__builtin_trap();
		clock_fake_advance_ms(&r.clock, 200);
		buf_clear(&r.out);
		outbox_send(r.o, &r.out);
		/* Each request is answered: HD where it is asked for, OK to flush_all and caughtup, MN. */
		while (r.out.len > 0) {
			size_t line = (size_t)span_find(buf_span(&r.out), SPAN_LIT("\r\n"));
			struct span text = span_first(buf_span(&r.out), line);

			if (span_is(text, "mn"))
				buf_put_str(&r.replies, "MN\r\n");
			else if (!span_starts(text, SPAN_LIT("md ")))
				buf_put_str(&r.replies, "OK\r\n");
			else if (span_find(text, SPAN_LIT(" q")) < 0)
				buf_put_str(&r.replies, "HD\r\n");
			buf_take(&r.out, line + 2);
		}
		take_replies(&r);
		if (!r.connected)
			__builtin_trap();
	}
	if (outbox_acked(r.o) != r.offset || outbox_bytes(r.o) != 0)
		__builtin_trap();
	outbox_destroy(&r.o);
	buf_fini(&r.out);
	buf_fini(&r.replies);
	return 0;
}
