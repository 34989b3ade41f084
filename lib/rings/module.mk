RINGS_SRC := $(sort $(wildcard lib/rings/*.c))
RINGS_A   := $(BUILD)/lib/rings.a
LIBS     += $(RINGS_A)

$(RINGS_A): $(call objs,$(RINGS_SRC))
$(BUILD)/crash/rings.a: $(call tobjs,$(RINGS_SRC))

# Users before used.
RINGS_NEEDS := route conf core
RINGS_LIBS  := $(CONF_LIBS) -lxxhash -lm

RINGS_TESTS := $(patsubst lib/rings/test/%.c,$(BUILD)/test/lib/rings/test/%,$(wildcard lib/rings/test/test_*.c))
TESTS       += $(RINGS_TESTS)
$(RINGS_TESTS): $(RINGS_A) $(patsubst %,$(BUILD)/lib/%.a,$(RINGS_NEEDS))
$(RINGS_TESTS): TEST_LIBS := $(RINGS_LIBS)

RINGS_FUZZERS := $(patsubst lib/rings/fuzz/%.c,$(BUILD)/fuzz/lib/rings/fuzz/%,$(wildcard lib/rings/fuzz/fuzz_*.c))
FUZZERS       += $(RINGS_FUZZERS)
$(RINGS_FUZZERS): $(RINGS_A) $(patsubst %,$(BUILD)/lib/%.a,$(RINGS_NEEDS))
$(RINGS_FUZZERS): TEST_LIBS := $(RINGS_LIBS)
