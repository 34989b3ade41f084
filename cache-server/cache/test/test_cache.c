#include "cache-server/cache/cache.h"

#include <unistd.h>

#include "cache-server/cache/test/kit.h"

static struct cache_get_meta
meta(struct kit *k, const char *key, bool vivify, bool recache)
{
	struct cache_get_meta m = {KIT_KEY(k->t, key), .vivify = vivify, .has_recache = recache};

	m.vivify_expiry = cache_expiry(k->t, 600);
	m.recache_s = 30;
	if (cache_get_meta(k->t, &m) != CACHE_OK)
		m.key.len = 0; /* a miss */
	return m;
}

static bool
is_hit(const struct cache_get_meta *m)
{
	return m->key.len > 0;
}

static uint64_t
cas_of(struct kit *k, const char *key)
{
	struct store_view v;

	return store_find(k->t->store, span_of(key), kit_hash(k->t, key), &v) ? cache_view_cas(&v) : 0;
}

static enum cache_result
compare_set(struct kit *k, const char *key, uint64_t cas, bool invalidate, const char *value)
{
	struct cache_set s = {KIT_KEY(k->t, key), .has_compare = true, .compare = cas,
			      .invalidate = invalidate};

	s.value = span_of(value);
	return cache_set(k->t, &s);
}

/* --- memcached's rules ---------------------------------------------------------------------------------- */

static void
the_storage_modes_do_what_memcached_does(void **state)
{
	struct kit k;

	kit_open(&k, CACHE_EVICT, 0);
	assert_int_equal(kit_store(&k, CACHE_REPLACE, "a", "x"), CACHE_NOT_STORED);
	assert_int_equal(kit_store(&k, CACHE_APPEND, "a", "x"), CACHE_NOT_STORED);
	assert_int_equal(kit_store(&k, CACHE_ADD, "a", "b"), CACHE_OK);
	assert_int_equal(kit_store(&k, CACHE_ADD, "a", "c"), CACHE_NOT_STORED);
	assert_int_equal(kit_store(&k, CACHE_APPEND, "a", "c"), CACHE_OK);
	assert_int_equal(kit_store(&k, CACHE_PREPEND, "a", "a"), CACHE_OK);
	assert_string_equal(kit_get(&k, "a"), "abc");
	assert_int_equal(kit_store(&k, CACHE_REPLACE, "a", "d"), CACHE_OK);
	assert_string_equal(kit_get(&k, "a"), "d");
	assert_int_equal(kit_delete(&k, "a"), CACHE_OK);
	assert_int_equal(kit_delete(&k, "a"), CACHE_NOT_FOUND);
	assert_null(kit_get(&k, "a"));
	assert_int_equal(KIT_COUNTED(&k, get_hits), 2);
	assert_int_equal(KIT_COUNTED(&k, get_misses), 1);
	assert_int_equal(KIT_COUNTED(&k, delete_hits), 1);
	cache_counters_reset(k.c);
	assert_int_equal(KIT_COUNTED(&k, get_hits), 0);
	kit_close(&k);
}

static void
set_for(struct kit *k, const char *key, int seconds)
{
	struct cache_set s = {KIT_KEY(k->t, key), .expiry = cache_expiry(k->t, seconds),
			      .value = SPAN_LIT("x")};

	assert_int_equal(cache_set(k->t, &s), CACHE_OK);
}

static void
reads_of_what_has_expired_or_been_flushed_are_counted(void **state)
{
	struct kit k;
	struct cache_lease l;
	struct cache_get_meta m;

	kit_open(&k, CACHE_EVICT, 0);
	set_for(&k, "a", 5);
	set_for(&k, "b", 50);
	assert_null(kit_get(&k, "never"));
	kit_pass(&k, 6000);
	assert_null(kit_get(&k, "a"));
	assert_int_equal(KIT_COUNTED(&k, get_expired), 1);
	m = meta(&k, "a", false, false);
	assert_false(is_hit(&m));
	assert_int_equal(KIT_COUNTED(&k, get_expired), 2);
	l = (struct cache_lease){KIT_KEY(k.t, "a")};
	cache_lease_get(k.t, &l);
	assert_int_equal(KIT_COUNTED(&k, get_expired), 3);
	assert_int_equal(cache_touch(k.t, SPAN_LIT("a"), kit_hash(k.t, "a"), CACHE_NEVER, NULL),
			 CACHE_NOT_FOUND);
	assert_int_equal(KIT_COUNTED(&k, get_expired), 4);
	assert_int_equal(KIT_COUNTED(&k, get_flushed), 0);
	cache_flush(k.t, 0);
	assert_null(kit_get(&k, "b"));
	assert_int_equal(KIT_COUNTED(&k, get_flushed), 1);
	assert_int_equal(KIT_COUNTED(&k, get_expired), 4);
	assert_int_equal(KIT_COUNTED(&k, get_misses), 5);
	kit_close(&k);
}

static void
append_keeps_flags_and_ttl_and_may_vivify(void **state)
{
	struct kit k;
	struct store_view v;

	kit_open(&k, CACHE_EVICT, 0);
	struct cache_set s = {KIT_KEY(k.t, "a"), .client_flags = 9, .expiry = cache_expiry(k.t, 100)};
	s.value = SPAN_LIT("1");
	assert_int_equal(cache_set(k.t, &s), CACHE_OK);
	assert_int_equal(kit_store(&k, CACHE_APPEND, "a", "2"), CACHE_OK);
	assert_true(cache_get(k.t, SPAN_LIT("a"), kit_hash(k.t, "a"), &v));
	assert_int_equal(item_client_flags(v.item, v.state), 9);
	assert_int_equal(v.expiry, s.expiry);

	struct cache_set viv = {KIT_KEY(k.t, "b"), .mode = CACHE_APPEND, .vivify = true,
				.vivify_expiry = s.expiry};
	viv.value = SPAN_LIT("x");
	assert_int_equal(cache_set(k.t, &viv), CACHE_OK);
	assert_int_equal(cache_set(k.t, &viv), CACHE_OK);
	assert_int_equal(viv.len_out, 2);
	assert_string_equal(kit_get(&k, "b"), "xx");
	kit_close(&k);
}

static void
compare_and_swap_compares(void **state)
{
	struct kit k;
	uint64_t cas;

	kit_open(&k, CACHE_EVICT, 0);
	assert_int_equal(compare_set(&k, "a", 1, false, "x"), CACHE_NOT_FOUND);
	kit_set(&k, "a", "1");
	cas = cas_of(&k, "a");
	assert_int_equal(compare_set(&k, "a", cas + 1, false, "x"), CACHE_EXISTS);
	assert_int_equal(compare_set(&k, "a", 0, false, "x"), CACHE_EXISTS);
	assert_int_equal(compare_set(&k, "a", cas, false, "2"), CACHE_OK);
	assert_int_equal(compare_set(&k, "a", cas, false, "3"), CACHE_EXISTS);
	assert_string_equal(kit_get(&k, "a"), "2");
	assert_int_equal(KIT_COUNTED(&k, cas_badval), 3);
	/* ms I with a lower one: stored, as stale, and as long as it would have lived. */
	assert_int_equal(compare_set(&k, "a", cas, true, "old"), CACHE_OK);
	assert_null(kit_get(&k, "a"));
	struct cache_get_meta m = meta(&k, "a", false, false);
	assert_true(is_hit(&m) && m.stale && m.won);
	kit_close(&k);
}

static void
numbers_count_as_memcached_counts(void **state)
{
	struct kit k;

	kit_open(&k, CACHE_EVICT, 0);
	struct cache_arith a = {KIT_KEY(k.t, "n"), .delta = 1};
	assert_int_equal(cache_arith(k.t, &a), CACHE_NOT_FOUND);
	kit_set(&k, "n", "10");
	a.decrement = true;
	assert_int_equal(cache_arith(k.t, &a), CACHE_OK);
	assert_int_equal(a.value_out, 9);
	assert_string_equal(kit_get(&k, "n"), "9 ");
	a.decrement = false;
	a.delta = 95;
	assert_int_equal(cache_arith(k.t, &a), CACHE_OK);
	assert_string_equal(kit_get(&k, "n"), "104");
	kit_set(&k, "n", "18446744073709551615");
	a.delta = 3;
	assert_int_equal(cache_arith(k.t, &a), CACHE_OK);
	assert_int_equal(a.value_out, 2);
	a.decrement = true;
	assert_int_equal(cache_arith(k.t, &a), CACHE_OK);
	assert_int_equal(a.value_out, 0);
	static const char *const bad[] = {"", "x", "18446744073709551616", "1x", "-1", "+"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		kit_set(&k, "n", bad[i]);
		assert_int_equal(cache_arith(k.t, &a), CACHE_NON_NUMERIC);
	}
	struct cache_arith v = {KIT_KEY(k.t, "v"), .vivify = true, .initial = 13, .delta = 1};
	assert_int_equal(cache_arith(k.t, &v), CACHE_OK);
	assert_int_equal(v.value_out, 13);
	assert_int_equal(cache_arith(k.t, &v), CACHE_OK);
	assert_int_equal(v.value_out, 14);
	v.has_compare = true;
	v.compare = v.cas_out + 1;
	assert_int_equal(cache_arith(k.t, &v), CACHE_EXISTS);
	kit_close(&k);
}

static void
touch_changes_the_time_and_nothing_else(void **state)
{
	struct kit k;
	struct store_view v;
	uint64_t cas;

	kit_open(&k, CACHE_EVICT, 0);
	assert_int_equal(cache_touch(k.t, SPAN_LIT("a"), kit_hash(k.t, "a"), 0, NULL), CACHE_NOT_FOUND);
	kit_set(&k, "a", "value");
	cas = cas_of(&k, "a");
	assert_int_equal(cache_touch(k.t, SPAN_LIT("a"), kit_hash(k.t, "a"), cache_expiry(k.t, 10), &v),
			 CACHE_OK);
	assert_true(span_is(span_make(v.value, v.len), "value"));
	assert_int_equal(cas_of(&k, "a"), cas);
	kit_pass(&k, 9000);
	assert_non_null(kit_get(&k, "a"));
	kit_pass(&k, 1000);
	assert_null(kit_get(&k, "a"));
	kit_close(&k);
}

static void
a_value_too_large_takes_the_old_one_with_it(void **state)
{
	struct kit k;
	char *big = calloc(1, 2u << 20);

	kit_open(&k, CACHE_EVICT, 0);
	kit_set(&k, "a", "old");
	struct cache_set s = {KIT_KEY(k.t, "a"), .value = span_make(big, 2u << 20)};
	s.mode = CACHE_ADD;
	assert_int_equal(cache_set(k.t, &s), CACHE_TOO_LARGE);
	assert_non_null(kit_get(&k, "a"));
	s.mode = CACHE_SET;
	assert_int_equal(cache_set(k.t, &s), CACHE_TOO_LARGE);
	assert_null(kit_get(&k, "a"));
	kit_close(&k);
	free(big);
}

static void
times_are_read_as_memcached_reads_them(void **state)
{
	struct kit k;
	uint32_t now;

	kit_open(&k, CACHE_EVICT, 0);
	now = store_now(cache_store(k.c));
	assert_int_equal(cache_expiry(k.t, 0), CACHE_NEVER);
	assert_int_equal(cache_expiry(k.t, -5), CACHE_PAST);
	assert_int_equal(cache_expiry(k.t, 60), now + 60);
	assert_int_equal(cache_expiry(k.t, 2592000), now + 2592000);
	assert_int_equal(cache_expiry(k.t, 1700000001 + 100), now + 100);
	assert_int_equal(cache_expiry(k.t, 1600000000), CACHE_PAST);
	assert_int_equal(cache_ttl(k.t, CACHE_NEVER), -1);
	assert_int_equal(cache_ttl(k.t, now + 7), 7);
	kit_close(&k);
}

static void
a_delayed_flush_happens_when_its_time_comes(void **state)
{
	struct kit k;

	kit_open(&k, CACHE_EVICT, 0);
	kit_set(&k, "a", "1");
	cache_flush(k.t, cache_expiry(k.t, 5));
	kit_pass(&k, 4000);
	assert_non_null(kit_get(&k, "a"));
	kit_pass(&k, 1000);
	assert_null(kit_get(&k, "a"));
	kit_set(&k, "a", "2");
	kit_pass(&k, 2000);
	assert_non_null(kit_get(&k, "a"));
	cache_flush(k.t, 0);
	assert_null(kit_get(&k, "a"));
	kit_close(&k);
}

static void
md_marks_drops_and_compares(void **state)
{
	struct kit k;
	struct cache_get_meta m;
	uint64_t cas;

	kit_open(&k, CACHE_EVICT, 0);
	kit_set(&k, "a", "1");
	cas = cas_of(&k, "a");
	struct cache_delete d = {KIT_KEY(k.t, "a"), .has_compare = true, .compare = cas + 1};
	assert_int_equal(cache_delete(k.t, &d), CACHE_EXISTS);
	struct cache_delete i = {KIT_KEY(k.t, "a"), .mark_stale = true, .has_cas = true, .cas = 999};
	assert_int_equal(cache_delete(k.t, &i), CACHE_OK);
	assert_int_equal(cas_of(&k, "a"), 999);
	m = meta(&k, "a", false, false);
	assert_true(is_hit(&m) && m.stale && m.won && !m.token_sent);
	m = meta(&k, "a", false, false);
	assert_true(is_hit(&m) && m.stale && !m.won && m.token_sent);
	assert_int_equal(cache_delete(k.t, &i), CACHE_OK); /* clears the token */
	m = meta(&k, "a", false, false);
	assert_true(m.won);
	struct cache_delete x = {KIT_KEY(k.t, "a"), .drop_value = true};
	cas = cas_of(&k, "a");
	assert_int_equal(cache_delete(k.t, &x), CACHE_OK);
	assert_string_equal(kit_get(&k, "a"), "");
	assert_int_equal(cas_of(&k, "a"), cas);
	assert_int_equal(kit_delete(&k, "a"), CACHE_OK);
	assert_int_equal(cache_delete(k.t, &x), CACHE_NOT_FOUND);
	kit_close(&k);
}

static void
mg_vivifies_recaches_and_touches(void **state)
{
	struct kit k;
	struct cache_get_meta m;
	uint64_t cas;

	kit_open(&k, CACHE_EVICT, 0);
	m = meta(&k, "a", false, false);
	assert_false(is_hit(&m));
	m = meta(&k, "a", true, false);
	assert_true(is_hit(&m) && m.won && m.view.len == 0);
	m = meta(&k, "a", true, false);
	assert_true(is_hit(&m) && !m.won && m.token_sent);
	cas = cas_of(&k, "a");
	kit_pass(&k, 9999);
	m = meta(&k, "a", true, false);
	assert_false(m.won);
	kit_pass(&k, 1); /* nobody came for lease_ms */
	m = meta(&k, "a", true, false);
	assert_true(m.won && !m.token_sent);
	assert_int_equal(compare_set(&k, "a", cas, false, "filled"), CACHE_OK);
	m = meta(&k, "a", true, false);
	assert_true(is_hit(&m) && !m.won && !m.token_sent);

	struct cache_set s = {KIT_KEY(k.t, "b"), .expiry = cache_expiry(k.t, 40), .value = SPAN_LIT("v")};
	assert_int_equal(cache_set(k.t, &s), CACHE_OK);
	m = meta(&k, "b", false, true);
	assert_false(m.won);
	kit_pass(&k, 15000);
	m = meta(&k, "b", false, true);
	assert_true(m.won);
	m = meta(&k, "b", false, true);
	assert_true(!m.won && m.token_sent);
	struct cache_get_meta touch = {KIT_KEY(k.t, "b"), .has_touch = true,
				       .touch_expiry = cache_expiry(k.t, 500)};
	cas = cas_of(&k, "b");
	assert_int_equal(cache_get_meta(k.t, &touch), CACHE_OK);
	assert_int_equal(touch.expiry_before, s.expiry);
	assert_true(touch.token_sent);
	assert_int_equal(cas_of(&k, "b"), cas);
	kit_pass(&k, 100000);
	assert_non_null(kit_get(&k, "b"));
	kit_close(&k);
}

/* --- leases, stale values, hold-off --------------------------------------------------------------------- */

static void
a_lease_is_given_once_in_ten_seconds_and_good_once(void **state)
{
	struct kit k;
	struct cache_lease l;

	kit_open(&k, CACHE_EVICT, 0);
	l = kit_lease(&k, "a");
	assert_true(!l.hit && !l.has_stale && l.token > 1 && l.token <= INT64_MAX);
	assert_int_equal(kit_lease(&k, "a").token, 1);
	assert_int_equal(kit_fill(&k, "a", l.token ^ 4, "x"), CACHE_NOT_STORED);
	assert_int_equal(kit_fill(&k, "b", l.token, "x"), CACHE_NOT_STORED);
	assert_int_equal(kit_fill(&k, "a", 0, "x"), CACHE_NOT_STORED);
	assert_int_equal(kit_fill(&k, "a", 1, "x"), CACHE_NOT_STORED);
	assert_int_equal(kit_fill(&k, "a", l.token, "v"), CACHE_OK);
	assert_int_equal(kit_fill(&k, "a", l.token, "w"), CACHE_NOT_STORED);
	assert_true(kit_lease(&k, "a").hit);
	assert_string_equal(kit_get(&k, "a"), "v");

	l = kit_lease(&k, "c");
	kit_pass(&k, 9999);
	assert_int_equal(kit_lease(&k, "c").token, 1);
	kit_pass(&k, 1);
	struct cache_lease again = kit_lease(&k, "c");
	assert_true(again.token > 1);
	assert_int_equal(kit_fill(&k, "c", l.token, "x"), CACHE_NOT_STORED);
	assert_int_equal(kit_fill(&k, "c", again.token, "y"), CACHE_OK);
	kit_close(&k);
}

static void
deletes_and_flushes_make_leases_worthless(void **state)
{
	struct kit k;
	uint64_t token;

	kit_open(&k, CACHE_EVICT, 0);
	token = kit_lease(&k, "a").token;
	assert_int_equal(kit_delete(&k, "a"), CACHE_NOT_FOUND);
	assert_int_equal(kit_fill(&k, "a", token, "x"), CACHE_NOT_STORED);
	token = kit_lease(&k, "a").token;
	assert_true(token > 1); /* at once: nobody else has it */
	cache_flush(k.t, 0);
	assert_int_equal(kit_fill(&k, "a", token, "x"), CACHE_NOT_STORED);
	token = kit_lease(&k, "a").token;
	kit_set(&k, "a", "set");
	assert_int_equal(kit_fill(&k, "a", token, "x"), CACHE_NOT_STORED);
	assert_string_equal(kit_get(&k, "a"), "set");
	kit_close(&k);
}

static void
a_deleted_value_is_kept_as_stale_and_returned_only_as_such(void **state)
{
	struct kit k;
	struct cache_lease l, hot;
	struct cache_get_meta m;
	uint64_t cas;

	kit_open(&k, CACHE_EVICT, 5);
	kit_set(&k, "a", "old");
	cas = cas_of(&k, "a");
	assert_int_equal(kit_delete(&k, "a"), CACHE_OK);
	assert_int_equal(kit_delete(&k, "a"), CACHE_NOT_FOUND);
	assert_null(kit_get(&k, "a"));
	assert_int_equal(kit_store(&k, CACHE_APPEND, "a", "x"), CACHE_NOT_STORED);
	assert_int_equal(compare_set(&k, "a", cas, false, "x"), CACHE_EXISTS);
	m = meta(&k, "a", false, false);
	assert_false(is_hit(&m));
	l = kit_lease(&k, "a");
	assert_true(!l.hit && l.has_stale && l.token > 1);
	assert_true(span_is(span_make(l.view.value, l.view.len), "old"));
	hot = kit_lease(&k, "a");
	assert_true(hot.has_stale && hot.token == 1);
	m = meta(&k, "a", false, true);
	assert_true(is_hit(&m) && m.stale && !m.won && m.token_sent);
	assert_int_equal(kit_fill(&k, "a", 12345, "maybe"), CACHE_STALE_STORED);
	assert_null(kit_get(&k, "a"));
	hot = kit_lease(&k, "a");
	assert_true(span_is(span_make(hot.view.value, hot.view.len), "maybe"));
	assert_int_equal(kit_fill(&k, "a", l.token, "new"), CACHE_OK);
	assert_string_equal(kit_get(&k, "a"), "new");

	kit_delete(&k, "a");
	kit_pass(&k, 5000);
	assert_false(kit_lease(&k, "a").has_stale);
	kit_set(&k, "b", "1");
	kit_delete(&k, "b");
	assert_int_equal(kit_store(&k, CACHE_ADD, "b", "2"), CACHE_OK);
	assert_string_equal(kit_get(&k, "b"), "2");
	kit_close(&k);
}

static void
a_hold_off_refuses_fills_on_absent_keys_too_and_a_set_ends_it(void **state)
{
	struct kit k;
	uint64_t token;

	kit_open(&k, CACHE_EVICT, 0);
	token = kit_lease(&k, "a").token;
	assert_int_equal(kit_hold(&k, "a", 2000), CACHE_NOT_FOUND);
	assert_int_equal(kit_store(&k, CACHE_ADD, "a", "x"), CACHE_NOT_STORED);
	assert_int_equal(kit_fill(&k, "a", token, "x"), CACHE_NOT_STORED);
	token = kit_lease(&k, "a").token;
	assert_true(token > 1);
	assert_int_equal(kit_fill(&k, "a", token, "x"), CACHE_NOT_STORED);
	token = kit_lease(&k, "a").token;
	assert_true(token > 1); /* the right was given back */
	assert_int_equal(kit_store(&k, CACHE_ADD, "b", "x"), CACHE_OK);
	struct cache_arith v = {KIT_KEY(k.t, "a"), .vivify = true};
	assert_int_equal(cache_arith(k.t, &v), CACHE_NOT_STORED);
	struct cache_set app = {KIT_KEY(k.t, "a"), .mode = CACHE_APPEND, .vivify = true,
				.value = SPAN_LIT("x")};
	assert_int_equal(cache_set(k.t, &app), CACHE_NOT_STORED);
	kit_pass(&k, 1999);
	assert_int_equal(kit_store(&k, CACHE_ADD, "a", "x"), CACHE_NOT_STORED);
	kit_pass(&k, 1);
	assert_int_equal(kit_store(&k, CACHE_ADD, "a", "y"), CACHE_OK);

	kit_hold(&k, "a", 2000);
	kit_hold(&k, "a", 10);
	kit_delete(&k, "a");
	kit_pass(&k, 500);
	assert_int_equal(kit_store(&k, CACHE_ADD, "a", "x"), CACHE_NOT_STORED);
	assert_int_equal(kit_set(&k, "a", "set"), CACHE_OK);
	assert_int_equal(compare_set(&k, "a", cas_of(&k, "a"), false, "swap"), CACHE_OK);
	assert_int_equal(kit_delete(&k, "a"), CACHE_OK);
	assert_int_equal(kit_store(&k, CACHE_ADD, "a", "x"), CACHE_OK);
	assert_int_equal(KIT_COUNTED(&k, holdoff_armed), 3);
	kit_close(&k);
}

static void
a_meta_fill_in_a_hold_off_is_refused_and_the_next_may_try(void **state)
{
	struct kit k;
	struct cache_get_meta m;

	kit_open(&k, CACHE_EVICT, 0);
	kit_hold(&k, "a", 2000);
	m = meta(&k, "a", true, false);
	assert_true(m.won);
	assert_int_equal(compare_set(&k, "a", cas_of(&k, "a"), false, "x"), CACHE_NOT_STORED);
	m = meta(&k, "a", true, false);
	assert_true(m.won);
	kit_pass(&k, 2000);
	assert_int_equal(compare_set(&k, "a", cas_of(&k, "a"), false, "x"), CACHE_OK);
	m = meta(&k, "a", true, false);
	assert_true(is_hit(&m) && !m.won && !m.token_sent);
	kit_close(&k);
}

/* --- epochs --------------------------------------------------------------------------------------------- */

static bool
bound_is(struct kit *k, const char *key, const char *want)
{
	char text[EPOCH_MAX_TEXT];
	struct store_view v;
	struct epoch e;

	if (!cache_get(k->t, span_of(key), kit_hash(k->t, key), &v) || !cache_bound(k->t, &v, &e))
		return want == NULL;
	return want && span_is(span_make(text, epoch_print(&e, text)), want);
}

static bool
is_as_new_as(struct kit *k, const char *key, const char *epoch)
{
	struct epoch e = kit_epoch(epoch);
	struct cache_get_meta m = {KIT_KEY(k->t, key), .not_older = &e};

	return cache_get_meta(k->t, &m) == CACHE_OK;
}

static void
the_examples_of_the_protocol_page_hold(void **state)
{
	struct kit k;

	kit_open(&k, CACHE_EVICT, 0);
	assert_int_equal(kit_fenced(&k, "u", "main:3:100", "x"), CACHE_NOT_STORED);
	kit_watermark(&k, "main:3:100");
	assert_int_equal(kit_invalidate(&k, "u", "main:3:107"), CACHE_NOT_FOUND);
	assert_int_equal(kit_fenced(&k, "u", "main:3:107", "old"), CACHE_NOT_STORED);
	assert_int_equal(kit_fenced(&k, "u", "main:3:108", "new"), CACHE_OK);
	assert_int_equal(kit_invalidate(&k, "u", "main:3:107"), CACHE_NOT_FOUND);
	assert_int_equal(KIT_COUNTED(&k, epoch_kept), 1);
	assert_true(bound_is(&k, "u", "main:3:108"));
	kit_watermark(&k, "main:3:120");
	assert_true(bound_is(&k, "u", "main:3:120"));
	assert_false(is_as_new_as(&k, "u", "main:3:121"));
	assert_true(is_as_new_as(&k, "u", "main:3:120"));
	assert_false(is_as_new_as(&k, "u", "other:3:1"));

	struct epoch survived = kit_epoch("main:3:95");
	assert_true(cache_new_term(k.t, &survived, 4));
	kit_tick(&k);
	assert_null(kit_get(&k, "u"));
	assert_int_equal(kit_fenced(&k, "u", "main:3:96", "old"), CACHE_NOT_STORED);
	assert_int_equal(kit_fenced(&k, "u", "main:4:1", "now"), CACHE_OK);
	assert_true(bound_is(&k, "u", "main:4:1"));
	assert_int_equal(kit_invalidate(&k, "u", "main:4:1"), CACHE_OK);
	kit_close(&k);
}

static void
unfenced_values_go_with_any_invalidation_and_have_no_bound(void **state)
{
	struct kit k;

	kit_open(&k, CACHE_EVICT, 0);
	kit_watermark(&k, "main:1:1");
	kit_set(&k, "a", "x");
	assert_true(bound_is(&k, "a", NULL));
	assert_false(is_as_new_as(&k, "a", "main:1:0"));
	assert_int_equal(kit_invalidate(&k, "a", "main:1:5"), CACHE_OK);
	assert_int_equal(kit_set(&k, "a", "y"), CACHE_OK); /* not fenced */
	assert_int_equal(kit_fenced(&k, "a", "main:1:6", "z"), CACHE_OK);
	assert_int_equal(kit_store(&k, CACHE_APPEND, "a", "+"), CACHE_OK);
	assert_true(bound_is(&k, "a", NULL));
	assert_int_equal(kit_fenced(&k, "a", "main:1:6", "z"), CACHE_OK);
	assert_int_equal(cache_touch(k.t, SPAN_LIT("a"), kit_hash(k.t, "a"), 0, NULL), CACHE_OK);
	assert_true(bound_is(&k, "a", "main:1:6"));
	assert_int_equal(kit_invalidate(&k, "a", "other:1:1"), CACHE_OK); /* cannot be compared */
	assert_int_equal(kit_fenced(&k, "a", "main:1:99", "z"), CACHE_NOT_STORED);
	kit_close(&k);
}

static void
a_flush_refuses_fences_until_the_next_watermark(void **state)
{
	struct kit k;

	kit_open(&k, CACHE_EVICT, 0);
	kit_watermark(&k, "main:1:1");
	cache_flush(k.t, 0);
	assert_int_equal(kit_fenced(&k, "a", "main:1:6", "z"), CACHE_NOT_STORED);
	kit_watermark(&k, "main:1:6");
	assert_int_equal(kit_fenced(&k, "a", "main:1:6", "z"), CACHE_NOT_STORED);
	assert_int_equal(kit_fenced(&k, "a", "main:1:7", "z"), CACHE_OK);
	assert_int_equal(KIT_COUNTED(&k, epoch_floor_refused), 2);
	kit_close(&k);
}

static void
an_invalidation_reaches_items_whose_term_seems_to_be_over(void **state)
{
	struct epoch survived = kit_epoch("main:3:200");
	struct kit k;

	kit_open(&k, CACHE_EVICT, 0);
	kit_watermark(&k, "main:3:100");
	assert_int_equal(kit_fenced(&k, "a", "main:3:101", "x"), CACHE_OK);
	assert_int_equal(kit_fenced(&k, "b", "main:3:101", "x"), CACHE_OK);
	kit_watermark(&k, "main:4:1");
	assert_null(kit_get(&k, "a"));
	assert_int_equal(kit_invalidate(&k, "a", "main:4:1"), CACHE_NOT_FOUND);
	assert_true(cache_new_term(k.t, &survived, 4));
	kit_tick(&k);
	assert_null(kit_get(&k, "a"));
	assert_non_null(kit_get(&k, "b")); /* it survived, as was said late */
	kit_close(&k);
}

static void
a_lease_may_be_fenced(void **state)
{
	struct kit k;
	struct epoch e = kit_epoch("main:1:5");
	uint64_t token;

	kit_open(&k, CACHE_EVICT, 0);
	kit_watermark(&k, "main:1:1");
	kit_invalidate(&k, "a", "main:1:5");
	token = kit_lease(&k, "a").token;
	struct cache_set s = {KIT_KEY(k.t, "a"), .is_lease = true, .token = token, .epoch = &e,
			      .value = SPAN_LIT("x")};
	assert_int_equal(cache_set(k.t, &s), CACHE_NOT_STORED);
	s.token = kit_lease(&k, "a").token;
	assert_true(s.token > 1);
	e.count = 6;
	assert_int_equal(cache_set(k.t, &s), CACHE_OK);
	assert_true(bound_is(&k, "a", "main:1:6"));
	kit_close(&k);
}

/* --- markers -------------------------------------------------------------------------------------------- */

static void
a_marker_stays_until_its_own_tokens_are_gone(void **state)
{
	struct kit k;
	struct buf b = BUF_INIT;
	uint64_t h;

	kit_open(&k, CACHE_MARKER, 0);
	h = kit_hash(k.t, "r:1");
	assert_int_equal(marker_set(k.t, SPAN_LIT("r:1"), h, SPAN_LIT("w-17"), cache_expiry(k.t, 60)),
			 CACHE_OK);
	assert_int_equal(marker_set(k.t, SPAN_LIT("r:1"), h, SPAN_LIT("w-18"), cache_expiry(k.t, 5)),
			 CACHE_OK);
	assert_int_equal(marker_clear(k.t, SPAN_LIT("r:1"), h, SPAN_LIT("")), CACHE_NOT_FOUND);
	assert_int_equal(marker_clear(k.t, SPAN_LIT("r:1"), h, SPAN_LIT("w-17")), CACHE_OK);
	assert_int_equal(marker_clear(k.t, SPAN_LIT("r:1"), h, SPAN_LIT("w-17")), CACHE_NOT_FOUND);
	assert_int_equal(marker_check(k.t, SPAN_LIT("r:1"), h, &b), 1);
	assert_true(span_is(buf_span(&b), "w-18"));
	kit_pass(&k, 6000); /* never early: whole seconds, and one that a restart may gain */
	assert_int_equal(marker_check(k.t, SPAN_LIT("r:1"), h, NULL), 1);
	kit_pass(&k, 2000);
	assert_int_equal(marker_check(k.t, SPAN_LIT("r:1"), h, NULL), 0);
	assert_int_equal(KIT_COUNTED(&k, marker_expired), 1);
	assert_int_equal(marker_set(k.t, SPAN_LIT("r:1"), h, SPAN_LIT("a,b"), 0), CACHE_TOO_LARGE);
	assert_int_equal(marker_set(k.t, SPAN_LIT("r:1"), h, SPAN_LIT(""), 0), CACHE_TOO_LARGE);
	marker_set(k.t, SPAN_LIT("r:1"), h, SPAN_LIT("x"), 0);
	assert_int_equal(marker_clear_all(k.t, SPAN_LIT("r:1"), h), CACHE_OK);
	marker_set(k.t, SPAN_LIT("r:1"), h, SPAN_LIT("x"), 0);
	cache_flush(k.t, 0);
	assert_int_equal(marker_check(k.t, SPAN_LIT("r:1"), h, NULL), 0);
	assert_int_equal(KIT_COUNTED(&k, marker_expired), 3);
	buf_fini(&b);
	kit_close(&k);
}

static void
keys_with_a_hash_stop_carry_a_token(void **state)
{
	struct span key = SPAN_LIT("r:1|#|w-17"), token;

	assert_true(marker_split(&key, &token));
	assert_true(span_is(key, "r:1"));
	assert_true(span_is(token, "w-17"));
	key = SPAN_LIT("a|#|b|#|c");
	assert_true(marker_split(&key, &token));
	assert_true(span_is(key, "a|#|b"));
	key = SPAN_LIT("r:1|#");
	assert_false(marker_split(&key, &token));
	assert_int_equal(token.len, 0);
	key = SPAN_LIT("");
	assert_false(marker_split(&key, &token));
}

/* --- restarts ------------------------------------------------------------------------------------------- */

static const char *
memory_file(void)
{
	static char path[64];
	int fd;

	snprintf(path, sizeof path, "/tmp/squeal-cache-test-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	return path;
}

static void
hold_offs_and_epochs_survive_a_kill_and_leases_do_not(void **state)
{
	const char *file = memory_file();
	struct kit k;
	uint64_t token;

	kit_open_file(&k, CACHE_EVICT, 0, file, 1900);
	kit_watermark(&k, "main:1:10");
	kit_hold(&k, "held", 20000);
	kit_invalidate(&k, "a", "main:1:50");
	token = kit_lease(&k, "leased").token;
	assert_true(token > 1);
	kit_end(&k, false);

	kit_open_file(&k, CACHE_EVICT, 0, file, 9100);
	assert_int_equal(kit_store(&k, CACHE_ADD, "held", "x"), CACHE_NOT_STORED);
	assert_int_equal(kit_fenced(&k, "a", "main:1:50", "x"), CACHE_NOT_STORED);
	assert_int_equal(kit_fenced(&k, "a", "main:1:51", "x"), CACHE_OK);
	assert_int_equal(kit_fill(&k, "leased", token, "x"), CACHE_NOT_STORED);
	kit_pass(&k, 21899 - 9100);
	assert_int_equal(kit_store(&k, CACHE_ADD, "held", "x"), CACHE_NOT_STORED);
	kit_pass(&k, 1);
	assert_int_equal(kit_store(&k, CACHE_ADD, "held", "x"), CACHE_OK);
	kit_close(&k);
	unlink(file);
}

static void
values_of_before_a_restart_are_stale_until_the_router_has_caught_up(void **state)
{
	int graceful;

	for (graceful = 0; graceful < 2; graceful++) {
		const char *file = memory_file();
		struct cache_get_meta m;
		struct cache_lease l;
		struct kit k;
		uint64_t cas;

		kit_open_file(&k, CACHE_EVICT, 0, file, 1000);
		kit_watermark(&k, "main:1:10");
		kit_set(&k, "a", "va");
		kit_set(&k, "b", "vb");
		kit_set(&k, "n", "7");
		kit_set(&k, "gone", "x");
		assert_int_equal(kit_fenced(&k, "f", "main:1:11", "vf"), CACHE_OK);
		assert_int_equal(kit_delete(&k, "gone"), CACHE_OK);
		kit_end(&k, graceful);

		kit_open_file(&k, CACHE_EVICT, 0, file, 3000);
		assert_null(kit_get(&k, "a"));
		assert_null(kit_get(&k, "gone"));
		assert_int_equal(KIT_COUNTED(&k, unproven_refused), 1);
		assert_int_equal(kit_store(&k, CACHE_APPEND, "a", "x"), CACHE_NOT_STORED);
		m = meta(&k, "a", false, false);
		assert_false(is_hit(&m));
		l = kit_lease(&k, "a");
		assert_true(!l.hit && l.has_stale && l.token > 1);
		assert_true(span_is(span_make(l.view.value, l.view.len), "va"));
		assert_false(kit_lease(&k, "gone").has_stale);
		assert_int_equal(kit_fill(&k, "a", l.token, "new"), CACHE_OK);
		assert_string_equal(kit_get(&k, "a"), "new");
		m = meta(&k, "b", true, false);
		assert_true(is_hit(&m) && m.stale && m.won && m.view.len == 2);
		cas = cache_view_cas(&m.view);
		m = meta(&k, "b", true, false);
		assert_true(m.stale && !m.won && m.token_sent);
		assert_int_equal(compare_set(&k, "b", cas, false, "new"), CACHE_OK);
		assert_string_equal(kit_get(&k, "b"), "new");
		assert_false(is_as_new_as(&k, "f", "main:1:5"));
		struct cache_arith n = {KIT_KEY(k.t, "n"), .delta = 1};
		assert_int_equal(cache_arith(k.t, &n), CACHE_NOT_FOUND);

		cache_caught_up(k.t);
		assert_string_equal(kit_get(&k, "n"), "7");
		assert_true(bound_is(&k, "f", "main:1:11"));
		assert_null(kit_get(&k, "gone"));
		kit_close(&k);
		unlink(file);
	}
}

static void
markers_survive_a_kill(void **state)
{
	const char *file = memory_file();
	struct kit k;

	kit_open_file(&k, CACHE_MARKER, 0, file, 1000);
	marker_set(k.t, SPAN_LIT("r"), kit_hash(k.t, "r"), SPAN_LIT("w1"), cache_expiry(k.t, 30));
	marker_set(k.t, SPAN_LIT("r"), kit_hash(k.t, "r"), SPAN_LIT("w2"), 0);
	kit_end(&k, false);

	kit_open_file(&k, CACHE_MARKER, 0, file, 21000);
	assert_int_equal(marker_check(k.t, SPAN_LIT("r"), kit_hash(k.t, "r"), NULL), 2);
	kit_pass(&k, 12000);
	assert_int_equal(marker_check(k.t, SPAN_LIT("r"), kit_hash(k.t, "r"), NULL), 1);
	assert_int_equal(marker_clear(k.t, SPAN_LIT("r"), kit_hash(k.t, "r"), SPAN_LIT("w2")), CACHE_OK);
	kit_close(&k);
	unlink(file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_storage_modes_do_what_memcached_does),
	    cmocka_unit_test(reads_of_what_has_expired_or_been_flushed_are_counted),
	    cmocka_unit_test(append_keeps_flags_and_ttl_and_may_vivify),
	    cmocka_unit_test(compare_and_swap_compares),
	    cmocka_unit_test(numbers_count_as_memcached_counts),
	    cmocka_unit_test(touch_changes_the_time_and_nothing_else),
	    cmocka_unit_test(a_value_too_large_takes_the_old_one_with_it),
	    cmocka_unit_test(times_are_read_as_memcached_reads_them),
	    cmocka_unit_test(a_delayed_flush_happens_when_its_time_comes),
	    cmocka_unit_test(md_marks_drops_and_compares),
	    cmocka_unit_test(mg_vivifies_recaches_and_touches),
	    cmocka_unit_test(a_lease_is_given_once_in_ten_seconds_and_good_once),
	    cmocka_unit_test(deletes_and_flushes_make_leases_worthless),
	    cmocka_unit_test(a_deleted_value_is_kept_as_stale_and_returned_only_as_such),
	    cmocka_unit_test(a_hold_off_refuses_fills_on_absent_keys_too_and_a_set_ends_it),
	    cmocka_unit_test(a_meta_fill_in_a_hold_off_is_refused_and_the_next_may_try),
	    cmocka_unit_test(the_examples_of_the_protocol_page_hold),
	    cmocka_unit_test(unfenced_values_go_with_any_invalidation_and_have_no_bound),
	    cmocka_unit_test(a_flush_refuses_fences_until_the_next_watermark),
	    cmocka_unit_test(an_invalidation_reaches_items_whose_term_seems_to_be_over),
	    cmocka_unit_test(a_lease_may_be_fenced),
	    cmocka_unit_test(a_marker_stays_until_its_own_tokens_are_gone),
	    cmocka_unit_test(keys_with_a_hash_stop_carry_a_token),
	    cmocka_unit_test(hold_offs_and_epochs_survive_a_kill_and_leases_do_not),
	    cmocka_unit_test(values_of_before_a_restart_are_stale_until_the_router_has_caught_up),
	    cmocka_unit_test(markers_survive_a_kill),
	};

	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
