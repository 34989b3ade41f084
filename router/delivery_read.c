#include "router/delivery_inside.h"

#include "lib/core/crash.h"

enum {
	SLICE_RECORDS = 64,
	SLICE_BYTES = 128 * 1024,
};

static uint64_t
now_us(const struct delivery *d)
{
	return clock_mono_ns(loop_clock(d->ctx.loop)) / 1000;
}

void
delivery_read_soon(struct delivery *d)
{
	if (d->in.reader == NULL || d->draining)
		return;
	if (!loop_timer_is_set(&d->turn))
		loop_timer_once(&d->turn, 0);
	if (!loop_timer_is_set(&d->behind))
		loop_timer_once(&d->behind, 0);
}

void
delivery_look(struct delivery *d, struct lane *lane, uint64_t live)
{
	lane_look(lane, d->in.end, live, clock_real_us(loop_clock(d->ctx.loop)));
}

void
delivery_look_all(struct delivery *d)
{
	uint64_t live = places_live(&d->places);

	for (size_t i = 0; i < d->lanes.n; i++)
		delivery_look(d, d->lanes.lane[i], live);
}

/* --- reading ----------------------------------------------------------------------------------------------
 */

/* A record that says nothing: whoever should have had its deletes is flushed. */
static void
bad_record(struct delivery *d, uint64_t offset, const char *reason)
{
	metric_inc(&d->metrics.router_bad_records);
	for (size_t i = 0; i < d->lanes.n; i++) {
		if (d->places.takes[i])
			lane_gap(d->lanes.lane[i], offset, offset + 1, reason);
	}
}

static bool
on_record(void *arg, const struct broker_record *rec)
{
	struct delivery *d = arg;
	struct err_detail why = {0};

	CRASH_POINT("router.read");
	d->reading.handed = true;
	if (!places_choose(&d->places, d->reading.expect, rec->offset, d->reading.patient))
		return false;
	metric_inc(&d->metrics.router_records);
	d->reading.expect = rec->offset + 1;
	if (rec->damaged) {
		bad_record(d, rec->offset, "the record's checksum does not match");
	} else if (feed_record(d->feed, rec->offset, rec->at_us, rec->bytes, d->places.takes, &why) !=
		   ERR_OK) {
		bad_record(d, rec->offset, err_why(&why));
	} else {
		for (size_t i = 0; i < d->lanes.n; i++) {
			if (!d->places.takes[i])
				continue;
			age_note(&d->lanes.lane[i]->age, rec->offset, rec->at_us);
			lane_advance(d->lanes.lane[i], rec->offset + 1);
		}
	}
	CRASH_POINT("router.enqueued");
	return d->reading.until_us == 0 || now_us(d) < d->reading.until_us;
}

/* Nothing is left to read at `from`: whoever stands there stands at `next` just as well. */
static void
skip_hole(struct delivery *d, uint64_t from, uint64_t next)
{
	for (size_t i = 0; i < d->lanes.n; i++) {
		if (d->lanes.lane[i]->next_read == from)
			lane_advance(d->lanes.lane[i], next);
	}
}

/*
 * Reads one slice for the lanes at `from` that have room, for no longer than `us` where that is not 0; false
 * when there was nothing to read.
 */
static bool
read_slice(struct delivery *d, uint64_t from, uint64_t us)
{
	struct err_detail why = {0};
	uint64_t next = from;
	err_t err;

	d->reading.expect = from;
	d->reading.handed = false;
	d->reading.until_us = us > 0 ? now_us(d) + us : 0;
	err = broker_read(d->in.reader, from, SLICE_RECORDS, SLICE_BYTES, on_record, d, &next, &why);
	if (err == ERR_GAP) {
		for (size_t i = 0; i < d->lanes.n; i++) {
			if (d->lanes.lane[i]->next_read == from)
				lane_gap(d->lanes.lane[i], from, next, err_why(&why));
		}
		return true;
	}
	if (err == ERR_OK && next > from && !d->reading.handed)
		skip_hole(d, from, next);
	if (next > d->in.end)
		d->in.end = next;
	if (d->reading.handed) {
		cursor_vouch(d->ctx.cursors, d->in.reader);
		delivery_connect(d, NULL);
	}
	for (size_t i = 0; i < d->lanes.n; i++)
		server_pump(d->lanes.lane[i]->server);
	delivery_look_all(d);
	if (err != ERR_OK)
		intake_failed(&d->in, err, &why);
	return next > from;
}

/* The records at `place` have not arrived here yet: nobody asks for them again before the log says so. */
static void
wait_at(struct delivery *d, uint64_t place)
{
	for (size_t i = 0; i < d->lanes.n; i++) {
		if (d->lanes.lane[i]->next_read == place)
			d->lanes.lane[i]->dry = true;
	}
}

/* One slice for the live feed, and then the loop may do other things. */
void
delivery_read_turn(void *arg)
{
	struct delivery *d = arg;
	uint64_t live = places_live(&d->places);
	bool again = false;

	if (d->in.reader == NULL || d->draining)
		return;
	d->reading.patient = places_followed(&d->places, live);
	if (d->more && places_choose(&d->places, live, live, d->reading.patient)) {
		again = d->more = read_slice(d, live, 0);
		if (d->reading.handed)
			turns_live(d->ctx.turns, now_us(d));
	}
	d->reading.patient = false;
	metric_set(&d->metrics.router_live_offset, places_live(&d->places));
	if (again)
		loop_timer_once(&d->turn, 0);
	/* Somebody may have had no room. */
	if (!loop_timer_is_set(&d->behind))
		loop_timer_once(&d->behind, 0);
}

/* A short slice for somebody behind, when it is this partition's turn. */
void
delivery_read_behind(void *arg)
{
	struct delivery *d = arg;
	struct turns *turns = d->ctx.turns;
	uint64_t began_us = now_us(d), wait_us, place;
	struct lane *behind;

	if (d->in.reader == NULL || d->draining)
		return;
	wait_us = turns_wait(turns, began_us);
	if (wait_us > 0) {
		loop_timer_once_us(&d->behind, wait_us);
		return;
	}
	behind = places_behind(&d->places, places_live(&d->places), began_us / 1000);
	if (behind == NULL)
		return;
	metric_inc(&d->metrics.router_catch_up_reads);
	place = behind->next_read;
	if (!read_slice(d, place, turns_slice_us(turns, began_us)))
		wait_at(d, place);
	turns_took(turns, began_us, now_us(d));
	loop_timer_once_us(&d->behind, turns_again(turns, now_us(d)));
}

void
delivery_read_woken(void *arg)
{
	struct delivery *d = arg;

	d->more = true;
	places_arrived(&d->places);
	/* At once: nothing is gained by another round of the loop. */
	if (!loop_timer_is_set(&d->turn))
		delivery_read_turn(d);
}
