#include "lib/deliver/server_inside.h"

uint64_t
server_greetings(const struct server *s)
{
	return s->greetings;
}

unsigned
server_can(const struct server *s)
{
	return s->state == SERVER_UP ? s->can : 0;
}

struct outbox *
server_outbox(struct server *s)
{
	return s->outbox;
}

bool
server_is_up(const struct server *s)
{
	return s->state == SERVER_UP;
}

const char *
server_state(const struct server *s)
{
	static const char *const names[] = {"away", "connecting", "greeting", "up"};

	return names[s->state];
}

const char *
server_name(const struct server *s)
{
	return s->name;
}

const char *
server_address(const struct server *s)
{
	return s->address;
}

const char *
server_version(const struct server *s)
{
	return s->version;
}

const char *
server_last_error(const struct server *s)
{
	return s->last_error;
}

bool
server_has_meta(const struct server *s)
{
	return s->meta;
}

const struct server_identity *
server_identity(const struct server *s)
{
	return &s->identity;
}

bool
server_past(const struct server *s, struct server_past *out)
{
	return process_past(&s->process, s->heard_at_ms, out);
}

static void
status_cannot(const struct server *s, struct json *j)
{
	unsigned can = server_can(s);

	json_name(j, "cannot");
	json_array(j);
	if (s->was_up && !(can & OUTBOX_HOLDOFF))
		json_str(j, "hold-off: a plain delete leaves nothing behind that would refuse a late fill");
	if (s->was_up && !s->meta)
		json_str(j, "stale: without meta commands the value is deleted");
	else if (s->was_up && can == 0)
		json_str(j, "stale to readers who ask for it only: get returns a stale value as if it were a "
			    "good one; readers must use mg");
	if (s->was_up && !s->identity.known)
		json_str(j,
			 "identity: it does not answer \"stats\", so another server at this address is not "
			 "noticed");
	json_str(j, "epochs: every delete removes whatever is there");
	json_array_end(j);
}

void
server_status(const struct server *s, struct json *j)
{
	static const char *const changes[] = {"same", "restarted", "other"};
	const struct outbox_metrics *m = &s->outbox_metrics;

	json_kv_str(j, "address", s->address);
	json_kv_str(j, "version", s->version);
	json_kv_str(j, "deletes", s->meta ? "meta" : "classic");
	json_kv_str(j, "tls", server_security_tls_mode(s->ctx.security));
	json_kv_bool(j, "auth", server_security_login(s->ctx.security).len > 0);
	json_name(j, "identity");
	if (s->identity.known) {
		json_object(j);
		json_kv_u64(j, "pid", s->identity.pid);
		json_kv_u64(j, "started_us", s->identity.started_us);
		json_kv_str(j, "changed", changes[s->identity.changed]);
		json_object_end(j);
	} else {
		json_null(j);
	}
	status_cannot(s, j);
	json_kv_u64(j, "holdoff_unsupported", metric_get(&m->router_holdoff_unsupported));
	json_kv_u64(j, "stale_unsupported", metric_get(&m->router_stale_unsupported));
	json_kv_bool(j, "paused", outbox_is_paused(s->outbox));
	json_kv_u64(j, "limited_waiting", metric_get(&m->router_limited_waiting));
	json_kv_u64(j, "coalesced", metric_get(&m->router_deletes_coalesced));
	json_kv_u64(j, "delete_hits", metric_get(&m->router_delete_hits));
	json_kv_u64(j, "delete_misses", metric_get(&m->router_delete_misses));
}

const struct server_metrics *
server_metrics(const struct server *s)
{
	return &s->metrics;
}

const struct outbox_metrics *
server_outbox_metrics(const struct server *s)
{
	return &s->outbox_metrics;
}

void
server_metrics_add(struct server *s, struct metric_registry *r, const char *labels)
{
	metric_registry_add(r, server_metric_rows, server_metric_nrows, &s->metrics, labels);
	metric_registry_add(r, outbox_metric_rows, outbox_metric_nrows, &s->outbox_metrics, labels);
}

void
server_metrics_remove(struct server *s, struct metric_registry *r)
{
	metric_registry_remove(r, &s->metrics);
	metric_registry_remove(r, &s->outbox_metrics);
}
