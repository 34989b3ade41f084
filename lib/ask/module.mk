ASK_SRC := $(sort $(wildcard lib/ask/*.c))
ASK_A   := $(BUILD)/lib/ask.a
LIBS     += $(ASK_A)

$(ASK_A): $(call objs,$(ASK_SRC))
$(BUILD)/crash/ask.a: $(call tobjs,$(ASK_SRC))

# Users before used.
ASK_NEEDS := net conf core
ASK_LIBS  := $(NET_LIBS) $(CONF_LIBS) -lxxhash -lm

ASK_TESTS := $(patsubst lib/ask/test/%.c,$(BUILD)/test/lib/ask/test/%,$(wildcard lib/ask/test/test_*.c))
TESTS       += $(ASK_TESTS)
$(ASK_TESTS): $(ASK_A) $(patsubst %,$(BUILD)/lib/%.a,$(ASK_NEEDS))
$(ASK_TESTS): TEST_LIBS := $(ASK_LIBS)
