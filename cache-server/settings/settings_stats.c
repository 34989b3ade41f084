/* `stats settings`: memcached's keys, from the rows of SETTINGS_STATS. */
#include <inttypes.h>
#include <stdio.h>

#include "cache-server/settings/settings.h"
#include "lib/core/buf.h"

/* A value of the protocol is one word: a space in a file's name would make two of it. */
static void
put_word(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			buf_printf(out, "%%%02X", (unsigned char)*text);
		else
			buf_putc(out, *text);
	}
}

static const char *
tls_text(uint64_t version)
{
	static const char *const names[] = {"tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"};

	return version < 4 ? names[version] : "unknown";
}

struct settings_now
settings_now(const struct settings *s)
{
	return (struct settings_now){.memory = s->memory,
				     .verbose = s->verbose,
				     .detail = s->detail_enabled,
				     .slab_automove = s->slab_automove,
				     .lru_crawler = s->lru_crawler,
				     .lru_crawler_sleep = s->lru_crawler_sleep,
				     .lru_crawler_tocrawl = s->lru_crawler_tocrawl};
}

#define PUT_U64(field)	    buf_put_u64(&value, s->field)
#define PUT_I64(field)	    buf_printf(&value, "%" PRId64, s->field)
#define PUT_OCTAL(field)    buf_printf(&value, "%" PRIo64, s->field)
#define PUT_YESNO(field)    buf_put_str(&value, s->field ? "yes" : "no")
#define PUT_NOYES(field)    buf_put_str(&value, s->field ? "no" : "yes")
#define PUT_ONOFF(field)    buf_put_str(&value, s->field ? "off" : "on")
#define PUT_TEXT(field)	    put_word(&value, s->field[0] != '\0' ? s->field : "NULL")
#define PUT_NAME(field)	    put_word(&value, s->field[0] != '\0' ? s->field : "no")
#define PUT_CHAR(field)	    put_word(&value, (char[]){s->field, '\0'})
#define PUT_RATIO(field)    buf_printf(&value, "%.2f", s->field)
#define PUT_PROTOCOL(field) buf_put_str(&value, listen_protocol_text(s->field))
#define PUT_TLSMIN(field)   buf_put_str(&value, tls_text(s->field))
#define PUT_NOW(field)	    buf_put_u64(&value, now->field)
#define PUT_NOWYESNO(field) buf_put_str(&value, now->field ? "yes" : "no")
#define PUT_WORD(word)	    buf_put_str(&value, word)

#define PUT(key, kind, field)                                                                                \
	buf_clear(&value);                                                                                   \
	PUT_##kind(field);                                                                                   \
	put(arg, SPAN_LIT(key), buf_span(&value));

void
settings_stats(const struct settings *s, const struct settings_now *now, settings_stat_fn *put, void *arg)
{
	struct buf value = BUF_INIT;

	SETTINGS_STATS(PUT)
	buf_fini(&value);
}
