#include "router/router.h"

/* In a file of its own: squeal-replay asks for it, and has no router. */
void
router_cursor_path(const struct topology *t, const struct cluster *c, struct buf *out)
{
	if (c->opt.cursors[0] != '\0')
		buf_put_str(out, c->opt.cursors);
	else
		buf_printf(out, "%s.%s.cursors", t->log.path, c->opt.name);
}
