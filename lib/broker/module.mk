KAFKA_LIBS := -lrdkafka
BROKER_SRC := $(wildcard lib/broker/*.c)
BROKER_A   := $(BUILD)/lib/broker.a
LIBS       += $(BROKER_A)

$(BROKER_A): $(call objs,$(BROKER_SRC))
$(BUILD)/crash/broker.a: $(call tobjs,$(BROKER_SRC))

BROKER_TESTS := $(patsubst lib/broker/test/%.c,$(BUILD)/test/lib/broker/test/%,$(wildcard lib/broker/test/test_*.c))
TESTS        += $(BROKER_TESTS)
# The crash-point test needs the archives that have crash points in them.
BROKER_CRASH_TEST := $(BUILD)/test/lib/broker/test/test_crash
$(filter-out $(BROKER_CRASH_TEST),$(BROKER_TESTS)): $(BROKER_A) $(CORE_A)
$(BROKER_CRASH_TEST): $(BUILD)/crash/broker.a $(BUILD)/crash/core.a
$(BROKER_TESTS): TEST_LIBS := -lsqlite3 $(KAFKA_LIBS) -lxxhash

# Prints what an append costs; not part of any check.
$(BUILD)/bin/bench_broker: $(BUILD)/obj/lib/broker/bench/bench_broker.o $(BROKER_A) $(CORE_A)
$(BUILD)/bin/bench_broker: PROGRAM_LIBS := -lsqlite3 $(KAFKA_LIBS) -lxxhash
$(BUILD)/bin/bench_kafka: $(BUILD)/obj/lib/broker/bench/bench_kafka.o $(BROKER_A) $(CORE_A)
$(BUILD)/bin/bench_kafka: PROGRAM_LIBS := -lsqlite3 $(KAFKA_LIBS) -lxxhash

BROKER_FUZZERS := $(patsubst lib/broker/fuzz/%.c,$(BUILD)/fuzz/lib/broker/fuzz/%,$(wildcard lib/broker/fuzz/fuzz_*.c))
FUZZERS        += $(BROKER_FUZZERS)
$(BROKER_FUZZERS): $(BROKER_A) $(CORE_A)
$(BROKER_FUZZERS): TEST_LIBS := -lsqlite3 $(KAFKA_LIBS) -lxxhash
