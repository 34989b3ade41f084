WIRE_SRC := lib/wire/mc_reply.c lib/wire/mc_request.c lib/wire/record.c lib/wire/record_decode.c
WIRE_A   := $(BUILD)/lib/wire.a
LIBS     += $(WIRE_A)

# protoc-c writes both files in one go; its code is compiled by its own rule, without our warnings.
WIRE_PB_C := $(BUILD)/gen/schemas/invalidation.pb-c.c
WIRE_PB_H := $(BUILD)/gen/schemas/invalidation.pb-c.h
WIRE_PB_O := $(BUILD)/obj/schemas/invalidation.pb-c.o
GENERATED += $(WIRE_PB_H)

$(WIRE_PB_C) $(WIRE_PB_H) &: schemas/invalidation.proto
	@mkdir -p $(BUILD)/gen
	$(call say,PROTOC  $<)
	$(Q)protoc-c --c_out=$(BUILD)/gen $<

$(WIRE_PB_O): $(WIRE_PB_C)
	@mkdir -p $(@D)
	$(call say,CC      $<)
	$(Q)$(CC) $(CPPFLAGS) $(filter-out -W%,$(ALL_CFLAGS)) -c -o $@ $<

$(WIRE_A): $(call objs,$(WIRE_SRC)) $(WIRE_PB_O)
$(BUILD)/crash/wire.a: $(call tobjs,$(WIRE_SRC)) $(WIRE_PB_O)

WIRE_TESTS := $(patsubst lib/wire/test/%.c,$(BUILD)/test/lib/wire/test/%,$(wildcard lib/wire/test/test_*.c))
TESTS      += $(WIRE_TESTS)
$(WIRE_TESTS): $(WIRE_A) $(CORE_A)
$(WIRE_TESTS): TEST_LIBS := -lprotobuf-c -lxxhash

WIRE_FUZZERS := $(patsubst lib/wire/fuzz/%.c,$(BUILD)/fuzz/lib/wire/fuzz/%,$(wildcard lib/wire/fuzz/fuzz_*.c))
FUZZERS      += $(WIRE_FUZZERS)
$(WIRE_FUZZERS): $(WIRE_A) $(CORE_A)
$(WIRE_FUZZERS): TEST_LIBS := -lprotobuf-c -lxxhash

# Prints ns per key; not part of any check.
$(BUILD)/bin/bench_record: $(BUILD)/obj/lib/wire/bench/bench_record.o $(WIRE_A) $(CORE_A)
$(BUILD)/bin/bench_record: PROGRAM_LIBS := -lprotobuf-c -lxxhash
