#include "markers/key.h"

static const char *const key_texts[] = {
#define KEY_TEXT(name, text) [name] = text,
    KEY_FAULTS(KEY_TEXT)
#undef KEY_TEXT
};

static inline bool
is_forbidden(unsigned char c)
{
	return c <= 0x20 || c == 0x7F;
}

/* Whether one of 8 bytes is forbidden: the usual trick of subtracting in all of them at once.  A borrow may
 * mark a byte above one that is forbidden, never where none is. */
static inline uint64_t
forbidden_in(uint64_t bytes)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t del = bytes ^ (ones * 0x7F);
	uint64_t below = (bytes - ones * 0x21) & ~bytes;

	return (below | ((del - ones) & ~del)) & (ones * 0x80);
}

enum key_fault
key_fault(struct span key)
{
	uint64_t bad = 0;
	uint64_t bytes;
	size_t i = 0;

	if (key.len == 0)
		return KEY_EMPTY;
	if (key.len > KEY_MAX)
		return KEY_TOO_LONG;
	for (; key.len - i >= sizeof(bytes); i += sizeof(bytes)) {
		memcpy(&bytes, key.p + i, sizeof(bytes));
		bad |= forbidden_in(bytes);
	}
	for (; i < key.len; i++)
		bad |= is_forbidden((unsigned char)key.p[i]);
	return bad != 0 ? KEY_CONTROL : KEY_OK;
}

const char *
key_fault_text(enum key_fault fault)
{
	if ((unsigned)fault >= sizeof(key_texts) / sizeof(key_texts[0]))
		return "an invalid key";
	return key_texts[fault];
}

err_t
key_check(struct span key, struct err_detail *why)
{
	enum key_fault fault = key_fault(key);
	size_t at = 0;

	switch (fault) {
	case KEY_OK:
		return ERR_OK;
	case KEY_CONTROL:
		while (!is_forbidden((unsigned char)key.p[at]))
			at++;
		return err_set(why, ERR_BAD_KEY, "%s (byte 0x%02X at offset %zu)", key_fault_text(fault),
			       (unsigned)(unsigned char)key.p[at], at);
	case KEY_TOO_LONG:
		return err_set(why, ERR_BAD_KEY, "%s (it has %zu)", key_fault_text(fault), key.len);
	default:
		return err_set(why, ERR_BAD_KEY, "%s", key_fault_text(fault));
	}
}
