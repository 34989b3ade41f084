DELIVER_SRC := lib/deliver/bucket.c lib/deliver/limiter.c lib/deliver/outbox.c lib/deliver/outbox_reply.c \
	       lib/deliver/outbox_send.c lib/deliver/process.c lib/deliver/server.c \
	       lib/deliver/server_greeting.c lib/deliver/server_security.c lib/deliver/server_status.c lib/deliver/unsent.c
DELIVER_A   := $(BUILD)/lib/deliver.a
LIBS        += $(DELIVER_A)

$(DELIVER_A): $(call objs,$(DELIVER_SRC))
$(BUILD)/crash/deliver.a: $(call tobjs,$(DELIVER_SRC))

# Users before used.
DELIVER_NEEDS := route net wire conf core
DELIVER_LIBS  := $(NET_LIBS) $(CONF_LIBS) -lprotobuf-c -lxxhash -lcrypto -lm

DELIVER_TESTS := $(patsubst lib/deliver/test/%.c,$(BUILD)/test/lib/deliver/test/%,$(wildcard lib/deliver/test/test_*.c))
TESTS         += $(DELIVER_TESTS)
$(DELIVER_TESTS): $(DELIVER_A) $(patsubst %,$(BUILD)/lib/%.a,$(DELIVER_NEEDS))
$(DELIVER_TESTS): TEST_LIBS := $(DELIVER_LIBS)

DELIVER_FUZZERS := $(BUILD)/fuzz/lib/deliver/fuzz/fuzz_outbox
FUZZERS         += $(DELIVER_FUZZERS)
$(DELIVER_FUZZERS): $(DELIVER_A) $(patsubst %,$(BUILD)/lib/%.a,$(DELIVER_NEEDS))
$(DELIVER_FUZZERS): TEST_LIBS := $(DELIVER_LIBS)
