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

enum key_fault
key_fault(struct span key)
{
	unsigned bad = 0;

	if (key.len == 0)
		return KEY_EMPTY;
	if (key.len > KEY_MAX)
		return KEY_TOO_LONG;
	for (size_t i = 0; i < key.len; i++)
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
