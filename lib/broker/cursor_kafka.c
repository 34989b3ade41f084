#include "lib/broker/cursor_kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"

/* No log has this id. */
static const char no_log[] = "00000000000000000000000000000000";

/* A server that this router knows. */
struct known {
	char *name;
	bool placed;	/* offset is of the log log_id */
	bool other_log; /* it had a cursor of another log, and has not been placed in this one since */
	bool forgotten; /* what was committed of it is no longer true */
	uint64_t offset;
};

struct kafka_cursors {
	struct cursor_store base;
	struct cursor_found found;
	void (*changed)(void *arg);
	void *arg;
	char log_id[CURSOR_LOG_ID_MAX + 1]; /* of the offsets here */
	struct known *known;
	size_t n, cap;
	struct broker_witness witness;
	bool due, under_way;
};

static const struct cursor_ops kafka_cursor_ops;

struct cursor_store *
cursor_kafka_create(const struct cursor_found *found, void (*changed)(void *arg), void *arg)
{
	struct kafka_cursors *s = MEM_NEW(struct kafka_cursors);

	s->base.ops = &kafka_cursor_ops;
	s->found = *found;
	s->changed = changed;
	s->arg = arg;
	snprintf(s->log_id, sizeof(s->log_id), "%s", found->log_id);
	if (found->committed && found->has_servers && !found->other_log)
		s->witness = (struct broker_witness){found->commit.has_witness, found->commit.witness_offset,
						     found->commit.witness};
	return &s->base;
}

static void
close_store(struct cursor_store *base)
{
	struct kafka_cursors *s = (struct kafka_cursors *)base;

	for (size_t i = 0; i < s->n; i++)
		free(s->known[i].name);
	free(s->known);
	free(s);
}

static struct known *
know(struct kafka_cursors *s, const char *server)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->known[i].name, server) == 0)
			return &s->known[i];
	}
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? s->cap * 2 : 16;
		s->known = mem_realloc(s->known, s->cap * sizeof(s->known[0]));
	}
	s->known[s->n] = (struct known){.name = mem_strdup(server)};
	return &s->known[s->n++];
}

/*
 * What the group knows of a server.  A commit without our metadata is somebody's who moved the group by hand
 * (kafka-consumer-groups.sh --reset-offsets): it counts for every server.
 */
static bool
find(const struct kafka_cursors *s, const char *server, uint64_t *offset, bool *other_log)
{
	const struct cursor_found *f = &s->found;
	const struct commit_server *c;

	*offset = f->offset;
	*other_log = f->other_log;
	if (!f->committed || !f->has_servers)
		return f->committed || f->other_log;
	*other_log |= strcmp(f->commit.log_id, f->log_id) != 0;
	c = commit_find(&f->commit, span_of(server));
	if (c != NULL) {
		*offset = c->offset;
		*other_log |= c->other_log;
	}
	return c != NULL || f->commit.others;
}

static err_t
load(struct cursor_store *base, struct cursor *c, bool *found, struct err_detail *why)
{
	struct kafka_cursors *s = (struct kafka_cursors *)base;
	struct known *k = know(s, c->server);
	uint64_t offset;
	bool other_log;

	if (!k->placed && !k->other_log && !k->forgotten && find(s, c->server, &offset, &other_log)) {
		k->offset = offset;
		k->other_log = other_log;
		k->placed = !other_log;
	}
	*found = k->placed || k->other_log;
	if (*found) {
		c->offset = k->offset;
		snprintf(c->log_id, sizeof(c->log_id), "%s", k->placed ? s->log_id : no_log);
	}
	return ERR_OK;
}

static err_t
save(struct cursor_store *base, const struct cursor *cursors, size_t n, struct err_detail *why)
{
	struct kafka_cursors *s = (struct kafka_cursors *)base;

	for (size_t i = 0; i < n; i++) {
		struct known *k = know(s, cursors[i].server);

		/* Offsets of another log mean nothing in this one. */
		if (strcmp(cursors[i].log_id, s->log_id) != 0) {
			snprintf(s->log_id, sizeof(s->log_id), "%s", cursors[i].log_id);
			for (size_t j = 0; j < s->n; j++) {
				s->known[j].other_log |= s->known[j].placed;
				s->known[j].placed = false;
			}
			s->witness.known = false;
		}
		k->placed = true;
		k->other_log = k->forgotten = false;
		k->offset = cursors[i].offset;
	}
	s->due = true;
	s->changed(s->arg);
	return ERR_OK;
}

/* It stands in no later commit. */
static err_t
forget(struct cursor_store *base, const char *server, struct err_detail *why)
{
	struct kafka_cursors *s = (struct kafka_cursors *)base;
	struct known *k = know(s, server);

	k->placed = k->other_log = false;
	k->forgotten = true;
	s->due = true;
	s->changed(s->arg);
	return ERR_OK;
}

bool
cursor_kafka_least(const struct cursor_store *base, uint64_t *offset)
{
	const struct kafka_cursors *s = (const struct kafka_cursors *)base;
	bool any = false;

	for (size_t i = 0; i < s->n; i++) {
		if (s->known[i].placed && (!any || s->known[i].offset < *offset)) {
			*offset = s->known[i].offset;
			any = true;
		}
	}
	return any;
}

bool
cursor_kafka_commit(struct cursor_store *base, uint64_t *offset, struct buf *metadata)
{
	struct kafka_cursors *s = (struct kafka_cursors *)base;
	struct commit *c;

	if (!s->due || s->under_way || !cursor_kafka_least(base, offset))
		return false;
	c = MEM_NEW(struct commit);
	memcpy(c->log_id, s->log_id, sizeof(c->log_id));
	c->has_witness = s->witness.known && s->witness.offset < *offset;
	c->witness_offset = s->witness.offset;
	c->witness = s->witness.hash;
	c->live = *offset;
	for (size_t i = 0; i < s->n; i++) {
		const struct known *k = &s->known[i];

		if (!k->placed && !k->other_log)
			continue;
		c->others |= c->n == COMMIT_SERVERS;
		if (c->n < COMMIT_SERVERS)
			c->servers[c->n++] = (struct commit_server){commit_name(span_of(k->name)),
								    k->placed ? k->offset : 0, k->other_log};
	}
	commit_encode(c, metadata);
	free(c);
	s->due = false;
	s->under_way = true;
	return true;
}

void
cursor_kafka_committed(struct cursor_store *base, bool well)
{
	struct kafka_cursors *s = (struct kafka_cursors *)base;

	s->under_way = false;
	s->due = s->due || !well;
}

struct broker_witness
cursor_kafka_witness(const struct cursor_store *base)
{
	return ((const struct kafka_cursors *)base)->witness;
}

void
cursor_kafka_set_witness(struct cursor_store *base, const struct broker_witness *old,
			 const struct broker_witness *w)
{
	struct kafka_cursors *s = (struct kafka_cursors *)base;

	if (s->witness.known == old->known &&
	    (!old->known || (s->witness.offset == old->offset && s->witness.hash == old->hash)))
		s->witness = *w;
}

/* The first that was read; a later one might be of a log that has taken the place of this one meanwhile. */
static void
vouch(struct cursor_store *base, const struct broker_witness *w)
{
	struct kafka_cursors *s = (struct kafka_cursors *)base;

	if (s->witness.known)
		return;
	s->witness = *w;
	s->changed(s->arg);
}

static const struct cursor_ops kafka_cursor_ops = {
    .close = close_store, .load = load, .save = save, .forget = forget, .vouch = vouch};
