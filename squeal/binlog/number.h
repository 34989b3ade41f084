/*
 * number - decimals, floating point and times of row events to text, as MySQL prints them.
 *
 * Threads: any.   Blocks: never.
 */
#ifndef SQUEAL_BINLOG_NUMBER_H
#define SQUEAL_BINLOG_NUMBER_H

#include <stdint.h>

#include "lib/core/buf.h"
#include "lib/core/span.h"

void number_put_i64(struct buf *out, int64_t v);

/* The shortest text that is read back as the same value; "1e20", "-0.001". */
void number_put_double(struct buf *out, double v);

/* Six digits, as MySQL does with FLOAT. */
void number_put_float(struct buf *out, float v);

/* Big-endian groups of nine digits; `bytes` must be as long as precision and scale ask for.  False: digits
 * that are none. */
bool number_put_decimal(struct buf *out, struct span bytes, unsigned precision, unsigned scale);

/* "2024-02-29", and " 23:59:59.000001" with as many digits behind the point. */
void number_put_date(struct buf *out, unsigned year, unsigned month, unsigned day);
void number_put_clock(struct buf *out, bool is_negative, uint64_t hour, unsigned minute, unsigned second,
		      unsigned micros, unsigned digits);

#endif
