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

void
store_caught_up(struct store *s)
{
	pthread_mutex_lock(&s->join_lock);
	if (!restoring(s) && store_owed(s) == 0)
		atomic_store_explicit(&s->caught_up, true, memory_order_release);
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

err_t
store_caught_up_since(struct store *s, uint64_t since, struct err_detail *why)
{
	uint64_t owed;
	err_t err = ERR_OK;

	pthread_mutex_lock(&s->join_lock);
	owed = store_owed(s);
	if (restoring(s)) {
		err = err_set(why, ERR_BUSY,
			      "a restore goes on; say it again when it is over and all has been delivered");
	} else if (owed != 0 && since > owed) {
		err =
		    err_set(why, ERR_GAP,
			    "what was restored lacks the deletes since %llu; deliver them again, then say it "
			    "with that time",
			    (unsigned long long)owed);
	} else {
		set_owed(s, 0);
		atomic_store_explicit(&s->caught_up, true, memory_order_release);
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
