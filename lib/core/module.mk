CORE_SRC := lib/core/arena.c lib/core/buf.c lib/core/clock.c lib/core/crash.c lib/core/err.c lib/core/file.c lib/core/flag.c \
	    lib/core/hash.c lib/core/histogram.c lib/core/json.c lib/core/log.c lib/core/mem.c lib/core/metric.c \
	    lib/core/option.c lib/core/sealed.c lib/core/span.c lib/core/thread.c lib/core/topk.c
CORE_A   := $(BUILD)/lib/core.a
LIBS     += $(CORE_A)

$(CORE_A): $(call objs,$(CORE_SRC))
$(BUILD)/crash/core.a: $(call tobjs,$(CORE_SRC))

CORE_TESTS := $(patsubst lib/core/test/%.c,$(BUILD)/test/lib/core/test/%,$(wildcard lib/core/test/test_*.c))
TESTS      += $(CORE_TESTS)
$(CORE_TESTS): $(CORE_A)
$(CORE_TESTS): TEST_LIBS := -lxxhash
