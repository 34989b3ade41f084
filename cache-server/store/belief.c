/*
 * Whether what was there before this process, or came from a backup, may be served: store_caught_up(), and
 * what a restore leaves to be delivered.
 */
#include "cache-server/store/inside.h"

/*
 * All that decides whether unproven items are served changes under join_lock, which is rarely taken: so
 * nobody says "caught up" between the beginning of a restore and its first item.
 */
static bool
restoring(const struct store *s)
{
	return atomic_load(&((struct store *)s)->restoring);
}

static void
believe(struct store *s)
{
	if (!restoring(s) && store_owed(s) == 0)
		atomic_store_explicit(&s->caught_up, true, memory_order_release);
}

void
store_caught_up(struct store *s)
{
	pthread_mutex_lock(&s->join_lock);
	believe(s);
	pthread_mutex_unlock(&s->join_lock);
}

static void
set_owed(struct store *s, uint64_t owed)
{
	if (s->mapping)
		restart_note_owed(s, owed);
	atomic_store_explicit(&s->owed, owed, memory_order_release);
}

void
store_owe(struct store *s, uint64_t since)
{
	uint64_t old;

	if (since == 0)
		since = 1; /* 0 is "nothing" */
	pthread_mutex_lock(&s->join_lock);
	old = store_owed(s);
	if (old == 0 || since < old)
		set_owed(s, since);
	pthread_mutex_unlock(&s->join_lock);
}

uint64_t
store_owed(const struct store *s)
{
	return atomic_load_explicit((_Atomic uint64_t *)&s->owed, memory_order_acquire);
}

/* Is what was delivered since `since` enough? */
static err_t
check_since(struct store *s, uint64_t since, struct err_detail *why)
{
	uint64_t owed = store_owed(s);

	if (restoring(s))
		return err_set(why, ERR_BUSY,
			       "a restore goes on; say it again when it is over and all has been delivered");
	if (owed != 0 && since > owed)
		return err_set(
		    why, ERR_GAP,
		    "what was restored lacks the deletes since %llu; deliver them again, then say it "
		    "with that time",
		    (unsigned long long)owed);
	return ERR_OK;
}

static err_t
believe_since(struct store *s, uint64_t since, struct err_detail *why)
{
	err_t err = check_since(s, since, why);

	if (err != ERR_OK)
		return err;
	set_owed(s, 0);
	atomic_store_explicit(&s->caught_up, true, memory_order_release);
	return ERR_OK;
}

err_t
store_caught_up_since(struct store *s, uint64_t since, struct err_detail *why)
{
	err_t err;

	pthread_mutex_lock(&s->join_lock);
	err = believe_since(s, since, why);
	pthread_mutex_unlock(&s->join_lock);
	return err;
}

/* Notes that the part has spoken; true when all have. */
static bool
parts_note(struct store_parts *p, uint32_t part, uint32_t parts, uint64_t since)
{
	uint64_t bit = UINT64_C(1) << part % 64;

	if (p->n != parts)
		*p = (struct store_parts){.n = parts};
	if (!(p->bits[part / 64] & bit))
		p->said++;
	p->bits[part / 64] |= bit;
	if (since > p->since)
		p->since = since;
	return p->said == p->n;
}

err_t
store_part_caught_up(struct store *s, uint32_t part, uint32_t parts, uint64_t since, struct err_detail *why)
{
	bool timed = since != UINT64_MAX;
	err_t err = ERR_OK;

	if (part >= parts || parts > STORE_PARTS_MAX)
		return err_set(why, ERR_USAGE, "there is no part %u of %u; at most %d parts are known", part,
			       parts, STORE_PARTS_MAX);
	pthread_mutex_lock(&s->join_lock);
	if (timed)
		err = check_since(s, since, why);
	if (err == ERR_OK && parts_note(&s->parts[timed], part, parts, since)) {
		if (timed)
			err = believe_since(s, s->parts[timed].since, why);
		else
			believe(s);
	}
	pthread_mutex_unlock(&s->join_lock);
	return err;
}

bool
store_restore_begins(struct store *s, struct store_belief *before)
{
	bool begins;

	pthread_mutex_lock(&s->join_lock);
	begins = !restoring(s);
	if (begins) {
		*before = (struct store_belief){store_is_caught_up(s), store_owed(s)};
		atomic_store(&s->caught_up, false);
		atomic_store(&s->restoring, true);
		memset(s->parts, 0, sizeof(s->parts));
	}
	pthread_mutex_unlock(&s->join_lock);
	return begins;
}

void
store_restore_ends(struct store *s, const struct store_belief *before)
{
	pthread_mutex_lock(&s->join_lock);
	if (before) {
		set_owed(s, before->owed);
		atomic_store(&s->caught_up, before->caught_up);
	}
	atomic_store(&s->restoring, false);
	pthread_mutex_unlock(&s->join_lock);
}

bool
store_is_caught_up(const struct store *s)
{
	return atomic_load_explicit((_Atomic bool *)&s->caught_up, memory_order_acquire);
}
