#include "lib/core/arena.h"

#include "lib/core/test/test.h"

static void
pieces_are_aligned_and_do_not_overlap(void **state)
{
	struct arena a = ARENA_INIT;
	unsigned char *piece[500];

	for (size_t i = 0; i < 500; i++) {
		piece[i] = arena_alloc(&a, i * 3 + 1);
		assert_int_equal((uintptr_t)piece[i] % _Alignof(max_align_t), 0);
		memset(piece[i], (int)i, i * 3 + 1);
		arena_copy(&a, SPAN_LIT("x"));
	}
	for (size_t i = 0; i < 500; i++) {
		assert_int_equal(piece[i][0], (unsigned char)i);
		assert_int_equal(piece[i][i * 3], (unsigned char)i);
	}
	arena_fini(&a);
}

static void
a_piece_larger_than_a_chunk_fits(void **state)
{
	struct arena a = ARENA_INIT;
	char *big = arena_alloc(&a, 1000000);

	memset(big, 1, 1000000);
	assert_int_equal(a.used, 1000000);
	arena_reset(&a);
	assert_int_equal(a.used, 0);
	arena_fini(&a);
}

static void
copies_outlive_their_source(void **state)
{
	struct arena a = ARENA_INIT;
	char text[] = "user:7";
	struct span copy = arena_copy(&a, span_of(text));

	text[0] = 'X';
	assert_true(span_is(copy, "user:7"));
	assert_int_equal(arena_copy(&a, (struct span){NULL, 0}).len, 0);
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
	    cmocka_unit_test(a_piece_larger_than_a_chunk_fits),
	    cmocka_unit_test(copies_outlive_their_source),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
