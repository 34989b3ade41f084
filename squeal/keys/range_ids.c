#include "squeal/keys/range_ids.h"

#include <stdlib.h>

#include "lib/core/mem.h"

void
range_ids_fini(struct range_ids *ids)
{
	position_fini(&ids->position);
	free(ids->list);
	free(ids->list_is_met);
	*ids = (struct range_ids){0};
}

/* Domains do not have sets, so MariaDB's ids come one by one. */
static err_t
parse_list(struct range_ids *ids, struct span text, struct err_detail *why)
{
	while (text.len > 0) {
		ptrdiff_t comma = span_find(text, SPAN_LIT(","));
		struct span one = span_trim(comma < 0 ? text : span_first(text, (size_t)comma));
		struct gtid id;
		err_t err;

		text = comma < 0 ? span_from(text, text.len) : span_from(text, (size_t)comma + 1);
		if (one.len == 0)
			continue;
		err = gtid_parse(one, &id, why);
		if (err != ERR_OK)
			return err;
		ids->list = mem_realloc(ids->list, (ids->n + 1) * sizeof(*ids->list));
		ids->list[ids->n++] = id;
	}
	ids->list_is_met = mem_zalloc(ids->n + 1, sizeof(*ids->list_is_met));
	return ERR_OK;
}

err_t
range_ids_parse(struct range_ids *ids, const char *given, enum range_ids_form form, struct err_detail *why)
{
	struct span text = span_trim(span_of(given));
	struct err_detail inner = {0};
	struct gtid id;
	err_t err;

	ids->text = given;
	if (form == RANGE_IDS_POSITION && gtid_parse(text, &id, &inner) == ERR_OK && id.kind == GTID_MYSQL) {
		ids->kind = GTID_MYSQL;
		ids->single = id;
		return ERR_OK;
	}
	if (span_starts(text, SPAN_LIT("gtid:")))
		text = span_from(text, 5);
	err_clear(&inner);
	/* A MariaDB id has no colon, a MySQL one does. */
	if (span_find(text, SPAN_LIT(":")) >= 0) {
		ids->kind = GTID_MYSQL;
		ids->position.kind = POSITION_MYSQL;
		err = gtid_set_parse(text, &ids->position.mysql, &inner);
	} else if (form == RANGE_IDS_LIST) {
		ids->kind = GTID_MARIADB;
		err = parse_list(ids, text, &inner);
	} else {
		ids->kind = GTID_MARIADB;
		ids->position.kind = POSITION_MARIADB;
		err = gtid_pos_parse(text, &ids->position.mariadb, &inner);
	}
	if (err != ERR_OK)
		return err_set(why, ERR_USAGE, "%s", err_why(&inner));
	if (ids->position.mysql.n + ids->position.mariadb.n + ids->n == 0)
		return err_set(why, ERR_USAGE,
			       "it has no id; write 0-1-100 (MariaDB) or "
			       "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5 (MySQL)");
	return ERR_OK;
}

bool
range_ids_in_position(const struct range_ids *ids, const struct gtid *id)
{
	const struct gtid *last;

	if (ids->position.kind == POSITION_MYSQL)
		return gtid_set_has(&ids->position.mysql, id);
	last = gtid_pos_find(&ids->position.mariadb, id->domain);
	return last != NULL && id->seq <= last->seq;
}

bool
range_ids_pick(struct range_ids *ids, const struct gtid *id)
{
	if (ids->kind != id->kind)
		return false;
	if (ids->kind == GTID_MYSQL)
		return gtid_set_has(&ids->position.mysql, id);
	for (size_t i = 0; i < ids->n; i++) {
		if (gtid_same(&ids->list[i], id)) {
			ids->list_is_met[i] = true;
			return true;
		}
	}
	return false;
}

void
range_ids_missing(const struct range_ids *ids, const struct gtid_set *seen, struct buf *out)
{
	struct gtid_set left = {0};

	if (ids->kind == GTID_MYSQL) {
		gtid_set_minus(&ids->position.mysql, seen, &left);
		gtid_set_format(&left, out);
		gtid_set_fini(&left);
	}
	for (size_t i = 0; i < ids->n; i++) {
		if (ids->list_is_met[i])
			continue;
		if (out->len > 0)
			buf_putc(out, ',');
		gtid_format(&ids->list[i], out);
	}
}
