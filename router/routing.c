#include "router/routing.h"

#include <stdlib.h>
#include <string.h>

#include "lib/core/mem.h"

struct routing {
	const struct clock *clock;
	struct log *log; /* may be NULL */
	struct rings *rings;
	struct route *route;
	bool *anew;
};

const struct route *
routing_route(const struct routing *r)
{
	return r->route;
}

const bool *
routing_anew(const struct routing *r)
{
	return r->anew;
}

const struct rings *
routing_rings(const struct routing *r)
{
	return r->rings;
}

static bool *
anew_of(const struct routing *r, const struct route *route)
{
	size_t n = route_nservers(route);
	bool *anew = mem_zalloc(n + 1, sizeof(anew[0]));

	for (size_t i = 0; i < n; i++)
		anew[i] = rings_was_out(r->rings, route_server_name(route, i));
	return anew;
}

/* --- changing ---------------------------------------------------------------------------------------------
 */

static void
abandon(const struct routing_users *users, size_t n)
{
	for (size_t i = 0; i < n; i++)
		delivery_abandon(users->deliveries[i]);
}

static err_t
stage(const struct routing_users *users, const struct route *route, const bool *anew, struct err_detail *why)
{
	for (size_t i = 0; i < users->n; i++) {
		err_t err = delivery_stage(users->deliveries[i], route, anew, why);

		if (err != ERR_OK) {
			abandon(users, i);
			return err;
		}
	}
	return ERR_OK;
}

/* The route of `c` with the rings of before takes the place of the one in force. */
static err_t
switch_to(struct routing *r, const struct cluster *c, const struct routing_users *users,
	  struct err_detail *why)
{
	size_t nbefore;
	const struct cluster *const *before = rings_before(r->rings, &nbefore);
	struct route *fresh, *former = r->route;
	bool *anew;
	err_t err;

	err = route_create(&fresh, c, before, nbefore, why);
	if (err != ERR_OK)
		return err;
	anew = anew_of(r, fresh);
	err = stage(users, fresh, anew, why);
	if (err != ERR_OK) {
		route_destroy(&fresh);
		free(anew);
		return err;
	}
	for (size_t i = 0; i < users->n; i++)
		delivery_commit(users->deliveries[i]);
	free(r->anew);
	r->anew = anew;
	r->route = fresh;
	route_destroy(&former);
	return ERR_OK;
}

/* Whatever can go wrong with the new configuration goes wrong here, before anything is written. */
static err_t
try(const struct cluster *c, const struct routing_users *users, struct err_detail *why)
{
	struct route *route;
	err_t err;

	err = route_create(&route, c, NULL, 0, why);
	if (err != ERR_OK)
		return err;
	err = stage(users, route, NULL, why);
	if (err == ERR_OK)
		abandon(users, users->n);
	route_destroy(&route);
	return err;
}

/* Notes the cluster's ring; a change is said. */
static err_t
take(struct routing *r, const struct cluster *c, struct err_detail *why)
{
	bool changed = false;
	err_t err = rings_take(r->rings, c, clock_real_us(r->clock), &changed, why);
	size_t n;

	if (err != ERR_OK || !changed)
		return err;
	rings_before(r->rings, &n);
	log_notice(
	    r->log,
	    "the ring has changed: deletes go to the owners by the former rings too, until these are sealed",
	    F_UINT("former", n));
	return ERR_OK;
}

err_t
routing_change(struct routing *r, const struct cluster *c, const struct routing_users *users,
	       struct err_detail *why)
{
	err_t err = try(c, users, why);

	if (err == ERR_OK)
		err = take(r, c, why);
	if (err == ERR_OK)
		err = switch_to(r, c, users, why);
	return err;
}

err_t
routing_seal(struct routing *r, const struct cluster *c, const struct routing_users *users, size_t *sealed,
	     struct err_detail *why)
{
	err_t err = rings_seal(r->rings, clock_real_us(r->clock), sealed, why);

	if (err == ERR_OK && *sealed > 0)
		err = switch_to(r, c, users, why);
	return err;
}

/* --- servers that were out --------------------------------------------------------------------------------
 */

/* Every partition of ours that delivers to the server has flushed it. */
static bool
is_flushed(const struct routing_users *users, size_t server)
{
	for (size_t i = 0; i < users->n; i++) {
		const struct lane *lane = delivery_lane(users->deliveries[i], server);

		if (!lane->placed || lane->unproven || lane->distrust || lane_in_gap(lane))
			return false;
	}
	return users->n > 0;
}

void
routing_look(struct routing *r, const struct routing_users *users)
{
	for (size_t i = 0; i < route_nservers(r->route); i++) {
		struct err_detail why = {0};

		if (!r->anew[i] || !is_flushed(users, i))
			continue;
		if (rings_flushed(r->rings, route_server_name(r->route, i), &why) == ERR_OK)
			r->anew[i] = false;
		else
			log_error(
			    r->log, "a server that was flushed counts as sealed out still; it is tried again",
			    F_STR("server", route_server_name(r->route, i)), F_STR("reason", err_why(&why)));
	}
}

/* --- life -------------------------------------------------------------------------------------------------
 */

err_t
routing_open(struct routing **out, const struct topology *t, const struct cluster *c,
	     const struct clock *clock, struct log *log, struct err_detail *why)
{
	struct routing *r = MEM_NEW(struct routing);
	struct buf path = BUF_INIT;
	const struct cluster *const *before;
	size_t nbefore;
	err_t err;

	*out = NULL;
	r->clock = clock;
	r->log = log;
	rings_path(t, c, &path);
	err = rings_load(&r->rings, buf_str(&path), c->opt.name, why);
	if (err == ERR_OK)
		err = take(r, c, why);
	if (err != ERR_OK)
		goto done;
	before = rings_before(r->rings, &nbefore);
	err = route_create(&r->route, c, before, nbefore, why);
	if (err != ERR_OK)
		goto done;
	r->anew = anew_of(r, r->route);
	*out = r;
	r = NULL;
done:
	routing_close(&r);
	buf_fini(&path);
	return err;
}

void
routing_close(struct routing **rp)
{
	struct routing *r = *rp;

	if (r == NULL)
		return;
	route_destroy(&r->route);
	rings_destroy(&r->rings);
	free(r->anew);
	free(r);
	*rp = NULL;
}
