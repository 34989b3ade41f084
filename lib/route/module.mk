ROUTE_SRC := $(sort $(wildcard lib/route/*.c))
ROUTE_A   := $(BUILD)/lib/route.a
LIBS      += $(ROUTE_A)

$(ROUTE_A): $(call objs,$(ROUTE_SRC))
$(BUILD)/crash/route.a: $(call tobjs,$(ROUTE_SRC))

# Users before used.
ROUTE_NEEDS := conf core
ROUTE_LIBS  := $(CONF_LIBS) -lxxhash -lm

ROUTE_TESTS := $(patsubst lib/route/test/%.c,$(BUILD)/test/lib/route/test/%,$(wildcard lib/route/test/test_*.c))
TESTS       += $(ROUTE_TESTS)
$(ROUTE_TESTS): $(ROUTE_A) $(patsubst %,$(BUILD)/lib/%.a,$(ROUTE_NEEDS))
$(ROUTE_TESTS): TEST_LIBS := $(ROUTE_LIBS)
$(addprefix $(BUILD)/test/lib/route/test/,test_md5 test_sha1): TEST_LIBS := $(ROUTE_LIBS) -lcrypto
$(BUILD)/test/lib/route/test/test_ring_libmemcached: TEST_LIBS := $(ROUTE_LIBS) -lmemcached

ROUTE_FUZZERS := $(patsubst lib/route/fuzz/%.c,$(BUILD)/fuzz/lib/route/fuzz/%,$(wildcard lib/route/fuzz/fuzz_*.c))
FUZZERS       += $(ROUTE_FUZZERS)
$(ROUTE_FUZZERS): $(ROUTE_A) $(patsubst %,$(BUILD)/lib/%.a,$(ROUTE_NEEDS))
$(ROUTE_FUZZERS): TEST_LIBS := $(ROUTE_LIBS)

# Routes keys from stdin; integration/test_routing.py judges what it says.
PROGRAMS += $(BUILD)/bin/route-tool
$(BUILD)/bin/route-tool: $(BUILD)/obj/lib/route/test/route_tool.o $(ROUTE_A) $(patsubst %,$(BUILD)/lib/%.a,$(ROUTE_NEEDS))
$(BUILD)/bin/route-tool: PROGRAM_LIBS := $(ROUTE_LIBS)

# Prints keys routed per second; not part of any check.
$(BUILD)/bin/bench_route: $(BUILD)/obj/lib/route/bench/bench_route.o $(ROUTE_A) $(patsubst %,$(BUILD)/lib/%.a,$(ROUTE_NEEDS))
$(BUILD)/bin/bench_route: PROGRAM_LIBS := $(ROUTE_LIBS)

# What pools and rings of before cost per key; not part of any check.
$(BUILD)/bin/bench_pools: $(BUILD)/obj/lib/route/bench/bench_pools.o $(ROUTE_A) $(patsubst %,$(BUILD)/lib/%.a,$(ROUTE_NEEDS))
$(BUILD)/bin/bench_pools: PROGRAM_LIBS := $(ROUTE_LIBS)
