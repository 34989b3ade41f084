#include "squeal/binlog/inflate.h"

#include <libdeflate.h>

#include "lib/core/reader.h"

void
inflate_fini(struct inflate *f)
{
	if (f->z != NULL)
		libdeflate_free_decompressor(f->z);
	f->z = NULL;
}

err_t
inflate_unpack(struct inflate *f, struct span packed, size_t max, struct buf *out, struct err_detail *why)
{
	struct reader r = reader_of(packed);
	uint8_t head = reader_u8(&r);
	size_t n = head & 7, len = 0;
	char *room;

	buf_clear(out);
	if (r.short_read)
		return err_set(why, ERR_BAD_EVENT, "it is cut short");
	if ((head & 0xf8) != 0x80 || n < 1 || n > 4)
		return err_set(why, ERR_UNKNOWN_EVENT,
			       "SET GLOBAL log_bin_compress=OFF on the server makes new statements readable");
	for (size_t i = 0; i < n; i++)
		len = len << 8 | reader_u8(&r);
	packed = reader_rest(&r);
	if (r.short_read)
		return err_set(why, ERR_BAD_EVENT, "it is cut short");
	if (len > max)
		return err_set(why, ERR_TOO_LONG, "%zu bytes uncompressed; raise max_event above that", len);
	/* zlib makes at most 1032 bytes of one: a length alone takes no memory. */
	if (len / 1032 > packed.len)
		return err_set(why, ERR_BAD_EVENT, "its content cannot be decompressed");
	if (f->z == NULL)
		f->z = libdeflate_alloc_decompressor();
	if (f->z == NULL)
		return err_set(why, ERR_SYS, "no memory for decompression");
	room = buf_room(out, len > 0 ? len : 1);
	/* No actual size is asked for, so anything but exactly `len` bytes is an error. */
	if (libdeflate_zlib_decompress(f->z, packed.p, packed.len, room, len, NULL) != LIBDEFLATE_SUCCESS)
		return err_set(why, ERR_BAD_EVENT, "its content cannot be decompressed");
	buf_added(out, len);
	return ERR_OK;
}
