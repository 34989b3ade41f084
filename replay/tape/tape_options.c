#include "replay/tape/tape_options.h"

#include "squeal/binlog/gtid.h"

err_t
tape_wants(struct range *range, struct span gtid, uint64_t commit_us, const char *what, bool *wanted,
	   struct err_detail *why)
{
	struct gtid id = {.kind = GTID_NONE};
	bool skip = false;
	err_t err = ERR_OK;

	if (gtid.len > 0)
		err = gtid_parse(gtid, &id, why);
	if (err == ERR_OK && id.kind == GTID_NONE && range_has_ids(range))
		err = err_set(why, ERR_USAGE,
			      "%s has no GTID, so --start-gtid, --stop-gtid, --gtid and "
			      "--exclude-gtid cannot be used",
			      what);
	if (err == ERR_OK && commit_us == 0 && range_has_times(range))
		err = err_set(why, ERR_USAGE,
			      "%s has no time, so --start-datetime and --stop-datetime cannot be used", what);
	if (err == ERR_OK)
		err = range_begin(range, &id, 0, &skip, why);
	if (err == ERR_OK)
		*wanted = range_commit(range, commit_us, 0);
	return err;
}
