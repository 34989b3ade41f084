#include "replay/plan/filter.h"

void
filter_fini(struct filter *f)
{
	patterns_fini(&f->keys);
	patterns_fini(&f->except);
	patterns_fini(&f->tables);
	patterns_fini(&f->sources);
}

static bool
wants_tables(struct filter *f, const struct tape_txn *t)
{
	for (size_t i = 0; i < t->ntables; i++) {
		if (patterns_match(&f->tables, t->tables[i]))
			return true;
	}
	f->tables_unknown += !t->knows_tables;
	return !t->knows_tables;
}

bool
filter_txn(struct filter *f, const struct tape_txn *t)
{
	bool wanted = f->sources.n == 0 || patterns_match(&f->sources, t->source);

	if (wanted && f->tables.n > 0)
		wanted = wants_tables(f, t);
	f->txns_dropped += !wanted;
	return wanted;
}

bool
filter_key(struct filter *f, struct span key)
{
	bool wanted = f->keys.n == 0 || patterns_match(&f->keys, key);

	if (wanted && f->except.n > 0)
		wanted = !patterns_match(&f->except, key);
	f->keys_dropped += !wanted;
	return wanted;
}
