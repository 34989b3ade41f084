#include "router/age.h"

#include <string.h>

/* Every second sample goes, and fewer come in. */
static void
age_thin(struct age *a)
{
	for (size_t i = 1; i < AGE_SAMPLES / 2; i++)
		a->samples[i] = a->samples[2 * i];
	a->n = AGE_SAMPLES / 2;
	a->stride = a->stride > 0 ? a->stride * 2 : 2;
}

void
age_note(struct age *a, uint64_t offset, uint64_t at_us)
{
	if (a->n > 0 && offset < a->samples[a->n - 1].offset + a->stride)
		return;
	if (a->n == AGE_SAMPLES)
		age_thin(a);
	a->samples[a->n].offset = offset;
	a->samples[a->n++].at_us = at_us;
}

void
age_forget(struct age *a, uint64_t offset)
{
	size_t gone = 0;

	/* The last sample at or before `offset` stands for the record there. */
	while (gone + 1 < a->n && a->samples[gone + 1].offset <= offset)
		gone++;
	if (gone == 0)
		return;
	memmove(a->samples, a->samples + gone, (a->n - gone) * sizeof(a->samples[0]));
	a->n -= gone;
	if (a->n == 1)
		a->stride = 1;
}

uint64_t
age_oldest_us(const struct age *a)
{
	return a->n > 0 ? a->samples[0].at_us : 0;
}

void
age_clear(struct age *a)
{
	a->n = 0;
	a->stride = 1;
}
