#include "cache-server/proto/meta_parse.h"

#include "cache-server/proto/base64.h"
#include "cache-server/proto/line.h"
#include "cache-server/proto/number.h"

enum { MAX_WORDS = 20, MAX_HOLDOFF_DIGITS = 10 };
#define MAX_HOLDOFF_MS 2592000000u

#define BAD_FORMAT "CLIENT_ERROR bad command line format"
#define BAD_TOKEN  "CLIENT_ERROR bad token in command line format"

/* The words behind the command; false: memcached would not look at the line any further. */
static bool
split(struct meta_request *m, struct span args, bool sized, struct span *len_word, unsigned *words)
{
	const char *p = args.p, *end = p + args.len;
	unsigned flags_from = sized ? 3 : 2, n;

	for (n = 1; n < LINE_MAX_WORDS; n++) {
		const char *stop;
		struct span word;

		while (p < end && *p == ' ')
			p++;
		if (p == end)
			break;
		stop = line_blank(p, end);
		word = span_make(p, (size_t)(stop - p));
		p = stop;
		if (n == 1)
			m->key = word;
		else if (n < flags_from)
			*len_word = word;
		else {
			char c = word.p[0];

			if (!(c > 64 && c < 123) && !(c >= '0' && c <= '9'))
				return false;
			if (m->n < META_MAX_FLAGS)
				m->flag[m->n++] = word;
		}
	}
	*words = n;
	return n >= flags_from;
}

static void
read_epoch(struct meta_request *m, struct span arg)
{
	if (!epoch_parse(arg, &m->epoch))
		m->error = "CLIENT_ERROR bad epoch";
}

/* False: memcached stops at this one. */
static bool
read_flag(struct meta_request *m, struct span flag)
{
	unsigned char letter = (unsigned char)flag.p[0];
	struct span arg = span_from(flag, 1);
	bool good = arg.len > 0;

	if (letter > 64 && m->seen >> (letter - 64) & 1) {
		m->error = "CLIENT_ERROR duplicate flag";
		return false;
	}
	if (letter > 64)
		m->seen |= (uint64_t)1 << (letter - 64);
	switch (letter) {
	case 'v':
	case 'c':
	case 'f':
	case 't':
	case 'k':
	case 's':
	case 'q':
	case 'u':
	case 'l':
	case 'h':
	case 'x':
	case 'I':
	case 'P':
	case 'L':
	case 'a':
		return true;
	case 'O':
		m->long_opaque = flag.len > META_MAX_OPAQUE;
		return true;
	case 'b':
		m->binary = true;
		m->key = span_make(m->decoded, base64_get(m->key, m->decoded));
		if (m->key.len == 0)
			m->error = "CLIENT_ERROR error decoding key";
		return true;
	case 'N':
		good = good && number_i32(arg, &m->vivify);
		break;
	case 'T':
		good = good && number_i32(arg, &m->touch);
		break;
	case 'R':
		good = good && number_i32(arg, &m->recache);
		break;
	case 'F':
		/* memcached has no text of its own for this one: what was wrong before, or the line. */
		if (!good || !number_u32(arg, &m->client_flags))
			m->error = m->error ? m->error : BAD_FORMAT;
		return true;
	case 'C':
		good = good && number_u64(arg, &m->compare);
		break;
	case 'E':
		good = good && number_u64(arg, &m->cas);
		break;
	case 'H':
		good = good && arg.len <= MAX_HOLDOFF_DIGITS && number_u32(arg, &m->holdoff_ms) &&
		       m->holdoff_ms <= MAX_HOLDOFF_MS;
		break;
	case 'M':
		m->mode = arg.len > 0 ? arg.p[0] : ' ';
		return true;
	case 'J':
		if (!good || !number_u64(arg, &m->initial))
			m->error = "CLIENT_ERROR invalid numeric initial value";
		return true;
	case 'D':
		if (!good || !number_u64(arg, &m->delta))
			m->error = "CLIENT_ERROR invalid numeric delta value";
		return true;
	case 'A':
		read_epoch(m, arg);
		return true;
	case 'K':
		m->token = arg;
		return true;
	default:
		m->error = "CLIENT_ERROR invalid flag";
		return false;
	}
	if (!good)
		m->error = BAD_TOKEN;
	return true;
}

bool
meta_parse(struct meta_request *m, struct span args, bool sized)
{
	struct span len_word = {"", 0};
	unsigned words;

	/* Not all of it: `decoded` and `flag` are written before they are read. */
	m->error = NULL;
	m->unreadable = m->binary = m->long_opaque = false;
	m->mode = 0;
	m->seen = 0;
	m->n = 0;
	m->value_len = UINT64_MAX;
	m->client_flags = 0;
	m->holdoff_ms = 0;
	m->compare = m->cas = m->initial = 0;
	m->delta = 1;
	m->token.len = 0;
	if (!split(m, args, sized, &len_word, &words)) {
		m->error = BAD_FORMAT;
		m->unreadable = true;
		return false;
	}
	if (sized) {
		int32_t len;

		if (!number_i32(len_word, &len) || len < 0 || len > INT32_MAX - 2) {
			m->error = BAD_FORMAT;
			m->unreadable = true;
			return false;
		}
		m->value_len = (uint64_t)len;
	}
	if (m->key.len > STORE_MAX_KEY)
		m->error = BAD_FORMAT;
	else if (words > MAX_WORDS)
		m->error = "CLIENT_ERROR options flags are too long";
	else
		for (unsigned i = 0; i < m->n && read_flag(m, m->flag[i]); i++)
			;
	return m->error == NULL;
}
