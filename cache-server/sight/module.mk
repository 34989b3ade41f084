CACHE_SIGHT_SRC := cache-server/sight/latency.c cache-server/sight/prefix.c cache-server/sight/topk.c
CACHE_SIGHT_A   := $(BUILD)/lib/cache_sight.a
LIBS            += $(CACHE_SIGHT_A)

$(CACHE_SIGHT_A): $(call objs,$(CACHE_SIGHT_SRC))
$(BUILD)/crash/cache_sight.a: $(call tobjs,$(CACHE_SIGHT_SRC))

CACHE_SIGHT_TESTS := $(patsubst %.c,$(BUILD)/test/%,$(wildcard cache-server/sight/test/test_*.c))
TESTS             += $(CACHE_SIGHT_TESTS)
$(CACHE_SIGHT_TESTS): $(CACHE_SIGHT_A) $(BUILD)/lib/core.a
$(CACHE_SIGHT_TESTS): TEST_LIBS := -lxxhash -lm
